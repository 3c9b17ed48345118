"""What checks find has Korean, the table says nothing else, and no line of it is taken for another."""

import ast
import re
from pathlib import Path

import pytest

from labctl import console
from labctl.checks import lab_checks
from labctl.checks.report import as_json
from labctl.checks.result import CheckResult, Status
from labctl.cli import tongue
from labctl.lab.load import load_lab
from labctl.probe.facts import StorageFacts
from labctl.words.checks import CHECKS, OUTSIDE, UNTRIED, check_in_words
from labctl.words.errors import REASONS
from labctl.words.lab import DRIVERS, NAMED, WHEREABOUTS
from labctl.words.lang import HANGUL
from tests.fakes import recorded
from tests.unit.test_words_lab import bare, sentences, strings, text_of

LABCTL = Path(__file__).parents[2] / "labctl"
MODULES = [path for path in sorted((LABCTL / "checks").glob("*.py")) if path.name != "report.py"]
# What is put together of values, as it may come out.
PUT_TOGETHER = {
    "The lab has no shared disks: {}.": [
        "The lab has no shared disks: {}.",
        "The lab has no shared disks: none were looked for.",
    ],
    "{} should be {} and is {}": ["{} should be {} and is {}", "{} should be {} and is unknown"],
    "{} runs, but is {} at boot": ["{} runs, but is {} at boot", "{} runs, but is not enabled at boot"],
    "It hears {} ({}).": ["It hears {} (selected).", "It hears {} (not selected yet, state {})."],
    "chronyd should follow {} and {}.": [
        "chronyd should follow {} and has not heard it.",
        "chronyd should follow {} and is not told of it ({} other sources).",
    ],
    "the clock is at least {} s {} that of {}": [
        "the clock is at least {} s ahead of that of {}",
        "the clock is at least {} s behind that of {}",
    ],
    "{} ({}) should have {} and has {}": [
        "{} ({}) should have {} and has {}",
        "{} ({}) should have {} and has no address",
    ],
    "Nothing to expect: {}.": [],
    "Not tried: {}.": [],
    "All peers are connected on {} link{}.": [
        "All peers are connected on {} link.",
        "All peers are connected on {} links.",
    ],
    "link {} should use {} and uses {}": [
        "link {} should use {} and uses {}",
        "link {} should use nothing and uses {}",
    ],
    "Pacemaker does not answer on {} ({})": [
        "Pacemaker does not answer on {} ({})",
        "Pacemaker does not answer on {} (crm_mon says nothing)",
    ],
    "{} is {}": ["{} is failed", "{} is blocked", "{} is failed and blocked"],
    "{} should be started and is {}": [
        "{} should be started and is {}",
        "{} should be started and is unknown to Pacemaker",
    ],
    "The BMC of {} at {} gives {} {}.": [
        "The BMC of {} at {} gives {} {}.",
        "The BMC of {} at {} gives {} no answer: {}.",
    ],
    "CHAP should be {}": ["CHAP should be on", "CHAP should be off"],
    "the target does not answer: {}": [
        "the target does not answer: {}",
        "the target does not answer: it has no {}",
    ],
    "{} initiators may log in{}.": ["{} initiators may log in.", "{} initiators may log in, with CHAP."],
}
# What is put into the lines above, or into a line's value (NESTED of labctl.words.lab).
PARTS = {
    "none were looked for", "not enabled", "has not heard it", "is not told of it ({} other sources)",
    "not selected yet, state {}", "ahead of", "no address", "crm_mon says nothing", "in maintenance",
    "unknown to Pacemaker", ", with CHAP", " and ", "node {}", "{} GiB", "{} names {}", "{} on {}",
    "{} {}", "the way outside was not tried",
}  # fmt: skip
# The one problem that the trial of the disks words itself.
STRANGER = "{} could log in and read"


SAID = {line for path in MODULES for line in sentences(path)} - PARTS
COMING_OUT = {each for line in SAID for each in PUT_TOGETHER.get(line, [line])}
# The reasons that stand within a line, each as a line of its own.
WITH_REASON = {
    *(f"The lab has no shared disks: {bare(reason)}." for reason in DRIVERS),
    *(f"{{}} should run, but {bare(reason)}." for reason in REASONS),
    *(f"Nothing to expect: {reason}." for reason in OUTSIDE),
    *(f"Not tried: {reason}." for reason in UNTRIED),
}


def test_every_message_and_problem_has_korean_and_no_other_has() -> None:
    assert "{} is being fenced" in SAID
    assert COMING_OUT | WITH_REASON | {STRANGER} == {bare(line) for line in CHECKS}
    assert set(PUT_TOGETHER) <= SAID
    assert {line for path in MODULES for line in sentences(path)} >= PARTS


def test_reasons_are_those_of_the_source() -> None:
    assert set(OUTSIDE) == strings("probe/gather", "checks/lab_checks") & set(OUTSIDE)
    trials = strings("storage/trial", "probe/facts/storage")
    assert set(UNTRIED) | {STRANGER} <= trials
    tree = ast.parse((LABCTL / "storage/trial.py").read_text(encoding="utf-8"))
    untried = {
        text_of(word.value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in call.keywords
        if word.arg == "untried"
    }
    assert set(UNTRIED) - untried == {"it was not asked for"}
    assert "it has no {}" in strings("storage/asked")
    assert {"no answer: {}"} <= strings("probe/facts/node")


@pytest.mark.parametrize("table", [CHECKS, NAMED, WHEREABOUTS], ids=["checks", "named", "whereabouts"])
def test_korean_names_the_same_values(table: dict[str, str]) -> None:
    for english, korean in table.items():
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", korean)), english
        assert HANGUL.search(korean) or table is not CHECKS, english


@pytest.mark.parametrize("english", CHECKS)
def test_no_line_is_taken_for_another(english: str) -> None:
    values = {name: f"<{name}>" for name in re.findall(r"{(\w+)}", english)}
    assert check_in_words("ko", english.format(**values)) == CHECKS[english].format(**values)
    assert check_in_words("en", english) == english


# -- as a reader of validate sees it ---------------------------------------------------------------


@pytest.mark.parametrize("name", recorded.NAMES)
@pytest.mark.parametrize("stage", ["nodes", "all"])
def test_what_a_real_lab_gave_is_told_in_korean(name: str, stage: lab_checks.Stage) -> None:
    lab = load_lab("spike", environment={})
    silent = StorageFacts("none", "neither driver can run here (lio: labctl is not root; userspace: x)")
    results = lab_checks.validate(lab, recorded.facts(name), stage=stage, storage=silent)
    for result in results:
        korean = check_in_words("ko", result.message, result.problems)
        # Of addresses there is nothing to say but themselves.
        only_values = result.id == "network.addresses" and result.status is Status.PASSED
        assert HANGUL.search(korean) or only_values, result
        own = re.sub(r"\(.*\)", "", korean)  # without what Pacemaker says
        assert not re.search(r" (is|are|not|and|should|has) ", own), korean


def test_each_problem_of_several_is_told() -> None:
    result = CheckResult("x", None, Status.FAILED, "", "", ("n1 knows no DC", "there is no fence device"))
    korean = check_in_words("ko", result.message, result.problems)
    assert korean == "n1이(가) DC를 알지 못합니다; 펜스 장치가 없습니다."
    assert check_in_words("ko", "; ".join(result.problems) + ".") == "; ".join(result.problems) + "."


def test_what_stands_within_a_problem_is_told() -> None:
    told = "w1 on node1, node2; w2 on node3"
    assert check_in_words("ko", "", [f"sdb is not the same disk everywhere: {told}"]) == (
        "sdb이(가) 노드마다 다른 디스크입니다: w1(node1, node2); w2(node3)."
    )
    assert check_in_words("ko", "", ["the nodes disagree: node1 names a.example, node2 names none"]) == (
        "노드마다 DC가 다릅니다: node1: a.example, node2: 없음."
    )
    swapped = f"The same disks on all nodes, under other names (sdb is {told}; sdc is w2 on node1): use "
    assert check_in_words("ko", swapped + "/dev/disk/by-id.") == (
        "모든 노드에 같은 디스크가 있지만 이름이 다릅니다"
        "(sdb: w1(node1, node2); w2(node3); sdc: w2(node1)). /dev/disk/by-id를 쓰세요."
    )


def test_a_terminal_shows_korean_and_json_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = load_lab("spike", environment={})
    results = lab_checks.validate(lab, recorded.facts("node4-off"))
    before = as_json(results)
    assert tongue.checked(results) == results, "English is as it was"
    monkeypatch.setattr(tongue, "_spoken", "ko")
    console.checks(tongue.checked(results), everywhere=tongue.say("everywhere"))
    told = capsys.readouterr().out
    assert "node4이(가) 동작해야 하는데 그렇지 않습니다: 전원이 꺼져 있습니다." in told
    assert "모든 노드  " in told
    assert "→ labctl up" in told
    assert as_json(results) == before
