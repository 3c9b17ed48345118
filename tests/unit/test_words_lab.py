"""What the lab says is in the table of labctl.words.lab, and the table says nothing else."""

import ast
import re
from pathlib import Path

import pytest

from labctl.lab.capture import BY_COURSE, BY_UP
from labctl.words.engine_errors import EXPLAINED, SPOILT
from labctl.words.lab import (
    AWAITED,
    DRIVERS,
    LACKS,
    LINES,
    NOTES,
    REASONS,
    SEEN,
    UNPULLED,
    in_words,
    note_in_words,
    reason_in_words,
)
from labctl.words.lang import HANGUL
from labctl.words.machines import EMULATED, FORMS, GROUND, RELAYED, TRIALS, UNFIT

LABCTL = Path(__file__).parents[2] / "labctl"
# Who speaks while `up`, `down`, `snapshot` and the course are at work.
SPEAKERS = [
    *(LABCTL / "lab").glob("*.py"),
    *(path for folder in ("image", "vm", "engine", "bubble") for path in (LABCTL / folder).glob("*.py")),
    LABCTL / "host/packages.py",
]


def text_of(node: ast.expr) -> str | None:
    """A string as it would be said, {} for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


SAID = sorted(
    {
        text
        for path in sorted(SPEAKERS)
        for call in calls(path)
        if name_of(call) in ("say", "on_wait", "on_line") and call.args and (text := text_of(call.args[0]))
        if not text.startswith("$ ")  # a command that is run
    }
)
BECAUSE = sorted(
    {
        text
        for call in calls(LABCTL / "lab/plan.py")
        if name_of(call) == "Action"
        for value in [*call.args[2:3], *(word.value for word in call.keywords if word.arg == "reason")]
        if (text := text_of(value))
    }
)


def bare(template: str) -> str:
    return re.sub(r"[{]\w*[}]", "{}", template)


def test_the_source_was_read() -> None:
    assert "waiting for the nodes to boot" in SAID
    assert "it is frozen" in BECAUSE


@pytest.mark.parametrize("said", SAID)
def test_every_line_of_the_lab_has_korean(said: str) -> None:
    korean = in_words("ko", said.replace("{}", "x"))
    assert HANGUL.search(korean)
    assert korean.count("x") >= said.count("{}") - 1, "what changes in a line is still in it"
    assert in_words("en", said) == said


def test_every_reason_has_korean() -> None:
    reasons = {bare(reason) for reason in REASONS}
    assert set(BECAUSE) <= reasons
    # Of `up` itself, when it starts the lab's namespaces.
    assert reasons - set(BECAUSE) <= {"the lab's namespaces do not run"}
    assert in_words("ko", "node1: creating (it does not exist)") == "node1: 만드는 중입니다 (아직 없음)"
    assert in_words("ko", "node1: creating") == "node1: 만드는 중입니다"


def test_nothing_in_the_table_is_said_no_more() -> None:
    said = {re.sub(r"[{}\s()]", "", bare(line)) for line in LINES}
    assert said == {re.sub(r"[{}\s()]", "", line) for line in SAID}


def strings(*names: str) -> set[str]:
    """All strings of these modules, {} for each value."""
    trees = [ast.parse((LABCTL / f"{name}.py").read_text(encoding="utf-8")) for name in names]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.expr)]
    return {text for node in nodes if (text := text_of(node))}


def sentences(path: Path) -> set[str]:
    """The sentences of a module, {} for each value; no docstrings, no commands, no scripts (_NAME = …)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        id(part)
        for node in ast.walk(tree)
        for part in (node.values if isinstance(node, ast.JoinedStr) else [getattr(node, "value", None)])
        if isinstance(node, ast.JoinedStr | ast.Expr)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("_"))
    }
    texts = {
        text_of(node) or "" for node in ast.walk(tree) if isinstance(node, ast.expr) and id(node) not in inner
    }
    return {text for text in texts if " " in text.rstrip(" ") and not text.startswith("labctl ")}


def test_what_is_waited_for_has_korean() -> None:
    modules = [path for path in LABCTL.rglob("*.py") if "innode" not in path.parts]
    waits = {
        text
        for path in modules
        for call in calls(path)
        if name_of(call) == "wait_until" and (text := text_of(call.args[0]))
    }
    # Nobody hears of these: the caller says something else, or goes on.
    unheard = {
        "the lab's lock",
        "the lab to come to rest",
        "the others to notice that {} is off",
        "{} to be removed",
        "the cgroups of lab {} to empty",
        "the lab's processes to stop",
        "{} to shut down",
        "{} to stop",
        "the guest",
        "the guest's end",
        "QEMU's end",
        "the image's preparation",
    }
    assert unheard <= waits
    assert {bare(line) for line in AWAITED} == waits - unheard


def test_what_a_driver_was_chosen_for_has_korean() -> None:
    said = strings("lab/storage", "storage/choose", "storage/lio_host")
    assert {bare(line) for line in (*DRIVERS, *LACKS)} <= said
    chosen = {
        text
        for call in calls(LABCTL / "storage/choose.py")
        if name_of(call) == "Choice" and (text := text_of(call.args[1]))
    }
    assert chosen <= {bare(line) for line in DRIVERS}
    why = "the kernel's own cannot be had: the kernel has no x; the host has no iscsid"
    assert reason_in_words("ko", why) == "커널의 것을 쓸 수 없음: 커널에 x 없음; 호스트에 iscsid 없음"


@pytest.mark.parametrize("table", [TRIALS, EMULATED, FORMS, UNFIT, EXPLAINED, SPOILT])
def test_every_reason_of_machines_and_disks_is_said(table: dict[str, str]) -> None:
    prepare = (LABCTL.parent / "images/vm/prepare/prepare").read_text(encoding="utf-8")
    modules = ("vm/trial", "vm/elsewhere", "vm/accel", "image/cloud_file", "storage/disks")
    guest = re.sub(r"\$({[^}]*}|\w+)", "{}", prepare).replace("{} {}}", "{}")
    said = "\n".join([*strings(*modules, "storage/lio_session"), guest])
    for english, korean in table.items():
        # What a guest or a program said is put behind with a colon of its own; which program, stands apart.
        line = bare(english).removesuffix(": {}").replace("compressed by {}", "compressed by xz")
        assert line in said, english
        assert HANGUL.search(korean)
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", korean)), english


def test_every_reason_of_a_trial_and_of_a_driver_has_korean() -> None:
    trials = {
        text
        for name in ("trial", "elsewhere")
        for call in calls(LABCTL / f"vm/{name}.py")
        if name_of(call) == "Trial" and len(call.args) == 2 and (text := text_of(call.args[1]))
    }
    assert trials <= {bare(line) for line in TRIALS}
    lacks = {
        text
        for call in calls(LABCTL / "storage/lio_host.py")
        if name_of(call) == "Lack" and (text := text_of(call.args[0]))
    }
    assert lacks <= {bare(line) for line in LACKS}


@pytest.mark.parametrize("english", [*GROUND, *RELAYED])
def test_what_machines_run_on_and_get_is_told(english: str) -> None:
    values = {name: f"<{name}>" for name in re.findall(r"{(\w+)}", english)}
    korean = {**GROUND, **RELAYED}[english]
    assert in_words("ko", english.format(**values)) == korean.format(**values)
    assert in_words("en", english) == english
    assert HANGUL.search(korean)


def test_why_machines_are_emulated_is_told_whole() -> None:
    hung = "a guest had not booted after 15 s; its last words: [    0.1] a; b"
    told = in_words(
        "ko",
        "Guests are emulated, which is slow (a small one takes 7.0 s to begin):"
        f" /dev/kvm does not work here: {hung}.",
    )
    assert told.endswith("15초 안에 부팅하지 못함. 마지막 출력: [    0.1] a; b.")


def test_what_stopped_one_way_to_prepare_an_image_is_told() -> None:
    hosts = {
        text
        for name in ("vm/first_boot", "vm/trial", "image/cloud_file", "image/vm")
        for call in calls(LABCTL / f"{name}.py")
        if name_of(call) == "HostLacks" and (text := text_of(call.args[0]))
    }
    relayed = {bare(line) for line in RELAYED}
    unmet = {text for text in hosts if not any(line.startswith(text) for line in relayed)}
    # Known before an image is looked at, or of the other disk.
    assert unmet == {"The program mke2fs is not installed."}


def test_an_error_within_a_line_is_told_with_what_a_program_said_as_it_is() -> None:
    said = "libvirt does not wake node1. internal error: x failed."
    assert in_words("ko", f"they cannot, so they boot: {said}") == (
        "계속할 수 없어 부팅합니다: libvirt가 node1을(를) 깨우지 못했습니다. internal error: x failed."
    )
    assert in_words("ko", "it is not kept anew: no such thing") == "새로 보관하지 못했습니다: no such thing"


def test_why_a_base_cannot_be_pulled_has_korean() -> None:
    assert {bare(line) for line in UNPULLED} <= strings("image/base")
    assert in_words("ko", "x cannot be pulled (podman gave no reason).") == (
        "x을(를) 받을 수 없습니다(podman이 이유를 알려 주지 않음)"
    )
    assert in_words("ko", "x cannot be pulled (no such host).").endswith("(no such host)")


def test_what_labctl_notes_of_a_snapshot_has_korean() -> None:
    assert {BY_UP, BY_COURSE, "the lab before the course", "the start of {}"} == {
        bare(line) for line in NOTES
    }
    assert {"the lab before the course", "the start of {}"} <= strings("course/session")
    assert note_in_words("ko", "the start of day1/names") == "day1/names의 시작 상태"
    assert note_in_words("ko", "my own") == "my own"


def test_what_was_last_seen_is_still_said() -> None:
    said = strings("lab/waits")
    for line in SEEN:
        assert bare(line) in said | {"with", "no"}, line


@pytest.mark.parametrize(
    "table",
    [LINES, REASONS, AWAITED, SEEN, DRIVERS, LACKS, UNPULLED],
    ids=["lines", "reasons", "awaited", "seen", "drivers", "lacks", "unpulled"],
)
def test_korean_names_the_same_values(table: dict[str, str]) -> None:
    for english, korean in table.items():
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", korean)), english
        assert HANGUL.search(korean), english


def test_a_line_that_is_not_known_is_told_as_it_is() -> None:
    assert in_words("ko", "something new") == "something new"
