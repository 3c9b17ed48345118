"""What the lab says while it starts, restores and keeps itself, in the learner's language.

The lab itself speaks English (labctl/lab knows no course); what a learner sees of it is turned here,
line by line. tests/unit/test_words_lab.py reads the lab's source and holds the table to it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from labctl.words import machines
from labctl.words.lab_errors import ERRORS, INVALID
from labctl.words.lang import Lang
from labctl.words.packages import PURPOSES

# A line of the lab, {…} for what changes in it; the same in Korean. What NESTED names is turned, too.
LINES: Final[dict[str, str]] = {
    "waiting for {holder} to finish with lab {lab}": "{lab} 랩에서 {holder}이(가) 끝나기를 기다리는 중입니다",
    "the connection to the machines' host, and with it their disks, was lost: they boot anew": (
        "가상 머신이 있는 호스트와의 접속이 끊어져 디스크도 끊어졌습니다. 다시 부팅합니다"
    ),
    "the machines are to be on {host}: its memory and processors count": (
        "가상 머신을 {host}에 만듭니다. 그 호스트의 메모리와 프로세서를 기준으로 정합니다"
    ),
    "starting the lab's namespaces and services": "랩의 네임스페이스와 서비스를 시작하는 중입니다",
    "{node}: removing{because}": "{node}: 삭제하는 중입니다{because}",
    "{node}: creating{because}": "{node}: 만드는 중입니다{because}",
    "{node}: starting{because}": "{node}: 켜는 중입니다{because}",
    "{node}: thawing{because}": "{node}: 다시 움직이게 하는 중입니다{because}",
    "{node}: making it a member{because}": "{node}: 클러스터에 넣는 중입니다{because}",
    "{node}: starting its cluster daemons{because}": "{node}: 클러스터 데몬을 시작하는 중입니다{because}",
    "{node}: logging in to the target ({because})": "{node}: 타깃에 로그인하는 중입니다({because})",
    "serving the shared disks ({because})": "공유 디스크를 제공하는 중입니다({because})",
    "changing the target ({because})": "타깃을 변경하는 중입니다({because})",
    "{disks} goes: the nodes log out first": "{disks} 디스크를 없앱니다. 노드가 먼저 로그아웃합니다",
    "waiting for the nodes to boot": "노드가 부팅되기를 기다리는 중입니다",
    "waiting for the cluster: members, quorum, DC, fencing": (
        "클러스터를 기다리는 중입니다: 구성원, 쿼럼, DC, 펜싱"
    ),
    "waiting for the cluster: members, quorum, DC": "클러스터를 기다리는 중입니다: 구성원, 쿼럼, DC",
    "waiting for the shared disks": "공유 디스크를 기다리는 중입니다",
    "waiting for pcsd, once; then this start is kept with it": (
        "pcsd를 한 번 기다리는 중입니다. 이후에는 pcsd까지 포함된 시작 상태를 씁니다"
    ),
    "pcsd starts in the background; labctl validate waits for it": (
        "pcsd는 뒤에서 시작됩니다. labctl validate가 기다려 줍니다"
    ),
    "{refused} It is made anew.": "시작 상태의 스냅샷을 쓸 수 없어 새로 만듭니다: {refused}",
    "there is no snapshot of this start: it is made now, and later a restore away": (
        "이 시작 상태의 스냅샷이 없어 지금 만듭니다. 다음부터는 바로 복원됩니다"
    ),
    "it is not kept anew: {refused}": "새로 보관하지 못했습니다: {refused}",
    "building the node image; this happens once": "노드 이미지를 만드는 중입니다. 한 번만 필요합니다",
    "keeping this state, so that it is a restore away": (
        "이 상태를 보관하는 중입니다. 다음부터는 바로 복원됩니다"
    ),
    "finished the restore that was killed": "중단된 복원을 마무리했습니다",
    "ending the lab and putting the snapshot in its place": "랩을 끝내고 스냅샷으로 바꾸는 중입니다",
    "there is no room for both, so what the lab holds now goes first ({amount})": (
        "둘을 함께 둘 공간이 없어 지금 랩의 내용을 먼저 지웁니다({amount})"
    ),
    "copying {amount}": "{amount}를 복사하는 중입니다",
    "copying {amount} while the lab runs": "랩이 동작하는 동안 {amount}를 복사하는 중입니다",
    "the cluster does not start at boot: pcs cluster start --all": (
        "클러스터는 부팅할 때 시작되지 않습니다: pcs cluster start --all"
    ),
    "the lab was left frozen by a snapshot that was killed; it goes on": (
        "중단된 스냅샷 때문에 랩이 멈춰 있었습니다. 다시 움직입니다"
    ),
    "the machines were held still by a snapshot that was killed; they go on": (
        "중단된 스냅샷 때문에 가상 머신이 멈춰 있었습니다. 다시 움직입니다"
    ),
    "no snapshot {name}: {refused}": "{name} 스냅샷을 만들지 못했습니다: {refused}",
    "writing it to disk": "디스크에 쓰는 중입니다",
    "the lab stands still for a moment": "랩이 잠시 멈춥니다",
    "the lab goes on; it stood still for {seconds} s": "랩이 다시 움직입니다. {seconds}초 동안 멈췄습니다",
    "the lab's machines are not known: {refused}": "랩의 가상 머신을 알 수 없습니다: {refused}",
    "flushing the shared disks": "공유 디스크의 캐시를 비우는 중입니다",
    "{node}: its disks are not flushed: {refused}": "{node}: 디스크의 캐시를 비우지 못했습니다: {refused}",
    "the machines write out what they hold in memory": "가상 머신이 메모리의 내용을 디스크에 쓰는 중입니다",
    "{node}: its memory is not written out: {refused}": (
        "{node}: 메모리의 내용을 디스크에 쓰지 못했습니다: {refused}"
    ),
    "keeping what the machines hold in memory, {amount} at most": (
        "가상 머신의 메모리를 보관하는 중입니다(최대 {amount})"
    ),
    "their memory is not kept, so a restore boots them: {refused}": (
        "메모리는 보관하지 못했으므로 복원하면 부팅합니다: {refused}"
    ),
    "the machines go on where they were": "가상 머신이 멈춘 곳에서 계속합니다",
    "they cannot, so they boot: {refused}": "계속할 수 없어 부팅합니다: {refused}",
    "{node}: its clock is late: {refused}": "{node}: 시계가 늦습니다: {refused}",
    "removing snapshot {name}": "{name} 스냅샷을 지우는 중입니다",
    # -- while a lab is made: its image, its machines
    "Family: {title}, because its base {base} is here.": (
        "배포판 계열: {title}(기본 이미지 {base}이(가) 이미 있음)"
    ),
    "Family: {title}, because its base {base} can be pulled.": (
        "배포판 계열: {title}(기본 이미지 {base}을(를) 받을 수 있음)"
    ),
    "Family: {title}, because {base} is not here and cannot be pulled ({failure}).": (
        "배포판 계열: {title}({base}이(가) 없고 받을 수도 없음: {failure})"
    ),
    "Pulling {base}.": "{base}을(를) 받는 중입니다",
    "{base} cannot be pulled ({failure}).": "{base}을(를) 받을 수 없습니다({failure})",
    "Making the base of {title} from packages.": "{title}의 기본 이미지를 패키지로 만드는 중입니다",
    "Another labctl builds in {path}; waiting for it.": (
        "다른 labctl이 {path}에서 이미지를 만들고 있어 기다리는 중입니다"
    ),
    "Adding a kernel to the {family} node image.": "{family} 노드 이미지에 커널을 추가하는 중입니다",
    "Packing the disk of the virtual machines.": "가상 머신의 디스크를 만드는 중입니다",
    "building the disk of the virtual machines; this happens once": (
        "가상 머신의 디스크를 만드는 중입니다. 한 번만 필요합니다"
    ),
    "trying {device} with a small guest (at most {seconds} s, once)": (
        "작은 가상 머신으로 {device}을(를) 시험하는 중입니다(최대 {seconds}초, 한 번만)"
    ),
    "trying an emulated guest (at most {seconds} s, once)": (
        "에뮬레이션으로 가상 머신을 시험하는 중입니다(최대 {seconds}초, 한 번만)"
    ),
    "preparing {file}: it boots once and installs the lab's packages": (
        "{file}을(를) 준비하는 중입니다. 한 번 부팅하여 랩의 패키지를 설치합니다"
    ),
    "missing: {program} ({purposes})": "설치할 프로그램: {program}({purposes})",
    "the machine is emulated, so this takes long": "가상 머신을 에뮬레이션하므로 오래 걸립니다",
}

# Why the lab does a step (labctl/lab/plan.py).
REASONS: Final[dict[str, str]] = {
    "there is no up-to-date {family} node image": "최신 {family} 노드 이미지가 없음",
    "the lab's namespaces do not run": "랩의 네임스페이스가 동작하지 않음",
    "new nodes need the lab's networks": "새 노드에 랩의 네트워크가 필요함",
    "the description has no such node": "설명 파일에 없는 노드",
    "there is no target yet": "타깃이 아직 없음",
    "the target's description changed": "타깃의 설명이 바뀜",
    "the target's machine is {state}": "타깃 장치의 상태: {state}",
    "the lab's disks changed": "랩의 디스크가 바뀜",
    "it does not exist": "아직 없음",
    "its description changed": "설명이 바뀜",
    "it is switched off": "꺼져 있음",
    "it is frozen": "멈춰 있음",
    "it does not answer: {reason}": "응답하지 않음: {reason}",
    "it is in no cluster": "클러스터에 속해 있지 않음",
    "its cluster daemons do not run": "클러스터 데몬이 동작하지 않음",
    "pcsd does not run": "pcsd가 동작하지 않음",
    "it lacks {disks}": "{disks} 없음",
}
# Who holds a lab (labctl/lab/lock.py).
HOLDERS: Final[dict[str, str]] = {
    "another labctl": "다른 labctl",
    "`{what}` (process {pid}, for {minutes} min)": "`{what}`(프로세스 {pid}, 경과 시간 {minutes})",
}

# What a wait was for (wait_until() in labctl/lab, course and bubble), and what was last seen meanwhile.
AWAITED: Final[dict[str, str]] = {
    "{node} to boot": "{node} 부팅",
    "{node} to have its disks": "{node}의 디스크 연결",
    "{node} to come back": "{node}의 복귀",
    "the cluster to form": "클러스터 구성",
    "the restored cluster to be quorate": "복원한 클러스터의 쿼럼",
    "the lab's podman": "랩의 podman 응답",
    "the lab's podman and libvirt": "랩의 podman과 libvirt 응답",
    "the other build in {path}": "{path}에서 진행 중인 다른 이미지 만들기의 끝",
    "the lab's processes to end": "랩의 프로세스 종료",
    "another labctl's trial guest": "다른 labctl의 시험용 가상 머신의 끝",
    "the daemon that serves the disks": "디스크를 제공하는 데몬",
    "the connection to {host}": "{host} 접속",
    "{program} to end": "{program}의 끝",
    "the target to serve": "타깃의 서비스 시작",
    "the target to be rid of {initiator}": "타깃에서 {initiator}의 연결 해제",
    "session {sid} of {initiator} to end": "{initiator}의 세션 {sid} 종료",
    "the disks of {initiator}": "{initiator}의 디스크 연결",
}
SEEN: Final[dict[str, str]] = {
    "systemd is still starting units": "systemd가 아직 유닛을 시작하는 중",
    "no node answers": "응답하는 노드가 없음",
    "missing: {disks}": "없는 디스크: {disks}",
    "DC {dc}, {quorum} quorum, not online: {offline}, fence devices not started: {stopped}": (
        "DC {dc}, 쿼럼 {quorum}, 온라인이 아닌 노드: {offline}, 시작되지 않은 펜스 장치: {stopped}"
    ),
    "not elected": "선출되지 않음",
    "none": "없음",
    "with": "있음",
    "no": "없음",
}
# Why a lab has its storage driver, or none (labctl/lab/storage.py, labctl/storage/choose.py).
DRIVERS: Final[dict[str, str]] = {
    "asked for": "요청에 따름",
    "the lab was brought up without them, --until {until}": "--until {until}(으)로 공유 디스크 없이 시작함",
    "the kernel has the iSCSI target and the initiator": "커널에 iSCSI 타깃과 이니시에이터가 있음",
    "the kernel's own cannot be had: {lack}": "커널의 것을 쓸 수 없음: {lack}",
    "neither driver can run here (lio: {lack}; userspace: {other})": (
        "두 드라이버를 모두 쓸 수 없음(lio: {lack}; userspace: {other})"
    ),
    "the nodes that are containers cannot reach disks: {lack}": (
        "컨테이너 노드는 디스크에 접근할 수 없음: {lack}"
    ),
    "every machine has a kernel of its own, with target and initiator": (
        "모든 가상 머신에 타깃과 이니시에이터가 있는 자체 커널이 있음"
    ),
}
# What a host lacks for a driver (lacks() of labctl/storage/lio_host.py, userspace_lacks() of choose.py).
LACKS: Final[dict[str, str]] = {
    "labctl is not root": "labctl이 root로 실행되지 않음",
    "labctl runs in a network namespace of its own, and the kernel's initiator is in the first": (
        "labctl이 별도의 네트워크 네임스페이스에 있고 커널의 이니시에이터는 첫 네임스페이스에 있음"
    ),
    "the kernel has no {modules}": "커널에 {modules} 없음",
    "the host has no {program}": "호스트에 {program} 없음",
    "the nodes' family has no iSCSI initiator in user space (labctl up --family debian has)": (
        "이 배포판 계열에는 사용자 공간 iSCSI 이니시에이터가 없음(labctl up --family debian에는 있음)"
    ),
    "there is no {device} (modprobe {module})": "{device} 없음(modprobe {module})",
    "lab {lab} of {root} serves {target} with this kernel": (
        "{root}의 {lab} 랩이 이 커널로 {target}을(를) 제공하고 있음"
    ),
    "this kernel serves a target {target} that is not labctl's": (
        "이 커널이 labctl의 것이 아닌 타깃 {target}을(를) 제공하고 있음"
    ),
}
# What labctl notes of a snapshot that it takes by itself (labctl/lab/capture.py, labctl/course/session.py).
NOTES: Final[dict[str, str]] = {
    "made by labctl up": "labctl up이 만듦",
    "made by labctl exercise": "labctl exercise가 만듦",
    "the lab before the course": "실습을 시작하기 전의 랩",
    "the start of {exercise}": "{exercise}의 시작 상태",
}
# What checks found of several nodes in one problem (labctl/checks): which DC each names, where a disk is.
NAMED: Final[dict[str, str]] = {
    "{node} names none": "{node}: 없음",
    "{node} names {host}": "{node}: {host}",
}
WHEREABOUTS: Final[dict[str, str]] = {
    "{name} is {wwn} on {nodes}": "{name}: {wwn}({nodes})",
    "{wwn} on {nodes}": "{wwn}({nodes})",
}
# Why a base image cannot be pulled (labctl/image/base.py), where podman does not tell.
UNPULLED: Final[dict[str, str]] = {
    "no answer within {seconds} s": "{seconds}초 안에 응답이 없음",
    "podman gave no reason": "podman이 이유를 알려 주지 않음",
}
# A value of this name, in whatever line, is turned by this table.
NESTED: Final[dict[str, dict[str, str]]] = {
    "because": REASONS,
    "holder": HOLDERS,
    "awaited": AWAITED,
    "seen": SEEN,
    **dict.fromkeys(("dc", "quorum", "offline", "stopped"), SEEN),
    **dict.fromkeys(("lack", "other"), LACKS),
    "invalid": INVALID,
    "refused": ERRORS,
    "failure": UNPULLED,
    "named": NAMED,
    "whereabouts": WHEREABOUTS,
    "purposes": PURPOSES,
    "differences": machines.DIFFERENCES,
    "emulated": machines.EMULATED,
    "trial": machines.TRIALS,
    "form": machines.FORMS,
    "unfit": machines.UNFIT,
    "origin": machines.ORIGINS,
}
# What stands between several things in a value of this name, where that is no semicolon.
BETWEEN: Final[dict[str, str]] = {"named": ", ", "purposes": ", "}
# What is one thing, whatever stands in it; and what holds no blank.
WHOLE: Final = frozenset({"emulated", "trial"})
WORDS: Final = frozenset({"tool", "machine"})


def in_words(lang: Lang, line: str) -> str:
    """The line as the learner reads it; as it is, when the table has no such line."""
    if lang == "en":
        return line
    return turned(line, LINES) or turned(line, machines.GROUND) or turned(line, machines.RELAYED) or line


def reason_in_words(lang: Lang, reason: str) -> str:
    """Why the lab does a step, or has the storage that it has, as the learner reads it."""
    return reason if lang == "en" else turned(reason, REASONS) or turned(reason, DRIVERS) or reason


def note_in_words(lang: Lang, note: str) -> str:
    """What was noted of a snapshot; as it is, when somebody else than labctl noted it."""
    return note if lang == "en" else turned(note, NOTES) or note


def around(english: str, korean: str, inner: dict[str, str]) -> dict[str, str]:
    """A table's lines for a line with {} in it: one for each of what may stand there."""
    return {english.replace("{}", one): korean.replace("{}", other) for one, other in inner.items()}


def turned(line: str, table: dict[str, str]) -> str:
    """The line in Korean by a table of English and Korean lines; "" when the table has no such line."""
    for english, own, korean in _most_exact_first(tuple(table.items())):
        # Most lines of a table need no pattern made: their own words are not there.
        if all(piece in line for piece in own) and (found := _pattern(english).fullmatch(line)):
            words = found.groupdict()
            for name in words.keys() & NESTED:
                words[name] = _inner(words[name], name)
            return korean.format(**words)
    return ""


def _inner(words: str, name: str) -> str:
    """What stands within a line, in Korean: " (a reason)", or several things with something between."""
    bare = words.removeprefix(" (").removesuffix(")") if words.startswith(" (") else words
    if name == "refused":
        return _error(words)
    between = BETWEEN.get(name, "; ")
    parts = [bare] if name in WHOLE else bare.split(between)
    korean = between.join(turned(part, NESTED[name]) or part for part in parts)
    return words.replace(bare, korean) if bare else words


def _error(words: str) -> str:
    """An error's message, maybe with its details behind it, which may be a program's."""
    for end in (found.start() for found in re.finditer(r"(?<=[.])(?= |$)", words)):
        if korean := turned(words[:end], ERRORS):
            beside = words[end:].strip()
            return f"{korean} {turned(beside, ERRORS) or beside}".rstrip()
    return words


@cache
def _most_exact_first(lines: tuple[tuple[str, str], ...]) -> list[tuple[str, list[str], str]]:
    """Each with the pieces of its own, those with the most of them first."""
    pieces = [(english, re.split(r"{\w+}", english), korean) for english, korean in lines]
    return sorted(pieces, key=lambda line: -sum(map(len, line[1])))


@cache
def _pattern(english: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", english)
    return re.compile(
        "".join(re.escape(part) if number % 2 == 0 else _value(part) for number, part in enumerate(parts)),
        re.DOTALL,
    )


def _value(name: str) -> str:
    # A reason may be missing ("creating"); everything else is at least one character.
    kind, most = ("[^ \\n]" if name in WORDS else "."), ("*" if name == "because" else "+")
    return f"(?P<{name}>{kind}{most}?)"
