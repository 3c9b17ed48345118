"""What the doctor finds has Korean, with what mends it, and the tables say nothing else."""

import re
from pathlib import Path

import pytest

from labctl.cli.main import run
from labctl.errors import HostLacks
from labctl.host import packages
from labctl.storage import choose, lio_host
from labctl.vm import room
from labctl.words.doctor import FINDINGS, MENDS, TRIED, finding_in_words, mend_in_words
from labctl.words.errors import ERRORS
from labctl.words.lab import LACKS
from labctl.words.lang import HANGUL
from labctl.words.machines import DIFFERENCES, EMULATED
from labctl.words.packages import PURPOSES
from tests.unit.test_words_lab import bare, sentences, strings

LABCTL = Path(__file__).parents[2] / "labctl"
SAID = {line for name in ("doctor", "needs") for line in sentences(LABCTL / f"host/{name}.py")}
# What is put together of values, as it may come out.
PUT_TOGETHER = {
    ", without CAP_SYS_RESOURCE: limits stay as they are": [
        "root, without CAP_SYS_RESOURCE: limits stay as they are"
    ],
    "{} ({})": [f"{{}} ({purpose})" for purpose in PURPOSES],
    "{} is missing ({}).": [f"{{}} is missing ({purpose})." for purpose in PURPOSES],
    "{}: works": [f"{bare(tried)}: works" for tried in TRIED],
    "{}: does not work{}": [
        f"{bare(tried)}: does not work{why}" for tried in TRIED for why in ("", " ({})")
    ],
    "control groups: {}{}": [
        "control groups: {}",
        "control groups: {}; the lab mounts a cgroup2 of its own",
    ],
    "{}; {} GiB are needed.": ["{} GiB free for {}; {} GiB are needed."],
    "{}; {} GiB are comfortable.": ["{} GiB free for {}; {} GiB are comfortable."],
    "open files: at most {}": ["open files: at most {}", "open files: at most any number"],
    "/dev/fuse is {}there": ["/dev/fuse is there", "/dev/fuse is not there"],
    "loop devices: {}there": ["loop devices: there", "loop devices: not there"],
    "free some room, or move the lab: LABCTL_STATE=/other/folder labctl …": [
        "free some room, or move the lab: {}"
    ],
    "with many nodes: sysctl -w fs.inotify.{}={}": ["with many nodes: {}"],
    "load it (modprobe {0}) or use a kernel that has it; inside a container: run that one privileged": [
        "load it (modprobe {}) or use a kernel that has it; inside a container: run that one privileged"
    ],
}  # fmt: skip
# Parts of these; values, modules and programs; what the command that fails says itself.
NO_FINDINGS = {
    *map(bare, TRIED), " ({})", "any number",
    "; the lab mounts a cgroup2 of its own", "Python {}", "inotify {}: {}", "podman {}", "bridge veth",
    "nft_chain_nat nft_masq", "iptable_nat xt_MASQUERADE", "$ {}", "{} failed.", "exit code {}",
    "modprobe fuse", "modprobe loop",
}  # fmt: skip
# Whom the doctor asks.
OTHERS = (
    "vm/findings",
    "vm/room",
    "vm/accel",
    "engine/libvirt_binding",
    "storage/choose",
    "storage/lio_host",
)


def test_all_that_the_doctor_says_has_korean() -> None:
    tables = {bare(line) for line in (*FINDINGS, *MENDS, *ERRORS)}
    coming_out = {each for line in SAID - NO_FINDINGS for each in PUT_TOGETHER.get(line, [line])}
    assert coming_out <= tables
    assert set(PUT_TOGETHER) | NO_FINDINGS <= SAID


def test_the_tables_say_nothing_else() -> None:
    """Beside the doctor's own words: what those say whom it asks."""
    own = {each for line in SAID for each in PUT_TOGETHER.get(line, [line])}
    others = strings(*OTHERS)
    # These are put together of a sentence and a reason, or of two sentences; see the tests below.
    made = re.compile(r"Guests are emulated|: virtual machines are emulated|This host (has|can spare)")
    for line in {bare(english) for english in (*FINDINGS, *MENDS)} - own - {"root"}:
        assert line in others or made.search(line), line
    assert set(map(bare, EMULATED)) <= others
    assert {
        "{}: virtual machines are emulated",
        "Guests are emulated, which is slow ({}): {}.",
        "a small one takes {} s to begin",
    } <= others
    assert set(map(bare, DIFFERENCES)) == {
        f"{{}} get{s} {{}} instead of {{}} MiB of memory" for s in ("", "s")
    }


def test_every_purpose_of_a_package_has_korean_and_no_other_has() -> None:
    assert set(PURPOSES) == {need.purpose for need in packages.table()}
    assert all(HANGUL.search(korean) for korean in PURPOSES.values())


@pytest.mark.parametrize("english", [*FINDINGS, *MENDS])
def test_no_line_is_taken_for_another(english: str) -> None:
    table, told = (FINDINGS, finding_in_words) if english in FINDINGS else (MENDS, mend_in_words)
    values = {name: f"<{name}>" for name in re.findall(r"{(\w+)}", english)}
    assert told("ko", english.format(**values)) == table[english].format(**values)
    assert told("en", english) == english
    assert set(values) == set(re.findall(r"{(\w+)}", table[english]))
    assert HANGUL.search(table[english])


# -- what others than the doctor find --------------------------------------------------------------


def what_is_said(guests: list[room.Guest], host: room.Host, kind: str) -> tuple[str, str]:
    """Why machines get less than they want, or none of them runs; and what mends that."""
    try:
        return room.fit(guests, host, kind, disk=Path("/lab")).reason, ""
    except HostLacks as error:
        return error.message, error.mend


@pytest.mark.parametrize("kind", ["kvm", "tcg"])
@pytest.mark.parametrize("memory", [3, 6, 9, 64])
@pytest.mark.parametrize("processors", [1, 16])
@pytest.mark.parametrize("disk", [1, 64])
def test_whatever_room_a_host_has_is_told(kind: str, memory: int, processors: int, disk: int) -> None:
    host = room.Host(memory * 1024, memory * 1024, disk * 1024, processors)
    guests = [*(room.Guest(f"node{number}", 4096 // number, 2) for number in (1, 2, 3)), room.target_guest()]
    said, mend = what_is_said(guests, host, kind)
    korean = finding_in_words("ko", said)
    assert HANGUL.search(korean) or not said
    assert HANGUL.search(mend_in_words("ko", mend)) or not mend
    assert not re.search(r" (so|gets?|instead|can|has) ", korean), korean


def test_whatever_the_kernel_lacks_for_disks_is_told_with_what_mends_it() -> None:
    nothing = lio_host.Host(
        False, False, dict.fromkeys(lio_host.MODULES, False), iscsiadm=False, iscsid=False
    )
    lacks = lio_host.lacks(nothing)
    assert len(lacks) == 4
    for lack in lacks:
        found = choose.finding([lack])
        assert not re.search(r" (is|has|not|in) ", finding_in_words("ko", found.message)), found
        assert HANGUL.search(mend_in_words("ko", found.mend)) or found.mend.startswith("apt-get "), found
    assert HANGUL.search(finding_in_words("ko", choose.finding([]).message))


def test_what_is_lacking_is_told_one_by_one() -> None:
    assert finding_in_words("ko", "virtual machines (--mode vm) lack: virsh, libvirt's Python binding") == (
        "가상 머신(--mode vm)에 필요한데 없는 것: virsh, libvirt의 Python 바인딩"
    )
    lacks = "shared disks by userspace programs, for labctl is not root; the host has no iscsid"
    assert finding_in_words("ko", lacks).endswith(f"{LACKS['labctl is not root']}; 호스트에 iscsid 없음")
    assert mend_in_words("ko", "apt-get -y install podman") == "apt-get -y install podman"
    assert mend_in_words("ko", "install podman with the distribution's means").startswith("배포판의")
    assert finding_in_words("ko", "The program podman is not installed.").startswith("podman 프로그램이")


def test_the_doctor_speaks_korean_and_its_json_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path))
    monkeypatch.setenv("LABCTL_LANG", "ko")
    run(["doctor"])
    told = capsys.readouterr().out
    for line in told.splitlines()[:-1]:
        assert line.startswith(("정상  ", "참고  ", "부족  ", "      → ")), line
        only_values = re.search(r"  (python|podman-version|inotify-\S+) +|→ ", line)
        assert HANGUL.search(line[6:]) or only_values, line
    assert HANGUL.search(told.splitlines()[-1])
    run(["doctor", "--json"])
    assert not HANGUL.search(capsys.readouterr().out)
    monkeypatch.setenv("LABCTL_LANG", "en")
    run(["doctor"])
    assert not HANGUL.search(capsys.readouterr().out)
