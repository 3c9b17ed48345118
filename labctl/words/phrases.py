"""What the course's engine itself says, in both languages. What an exercise says stands in its file.

What the other commands say: labctl.words.commands; say() knows both.
"""

from __future__ import annotations

from typing import Final

from labctl.words import commands
from labctl.words.lang import Lang

# Under each key the English words, then the Korean ones.
PHRASES: Final[dict[str, tuple[str, str]]] = {
    **commands.PHRASES,
    # -- what checks found
    "silent": ("{node} does not answer: {reason}", "{node}이(가) 응답하지 않습니다: {reason}"),
    "should": ("{what} should be {right} and is {found}", "{what}: {right}이어야 하는데 현재 {found}입니다"),
    "resolves": (
        "{what} should lead to {right} and leads to {found}",
        "{what}의 주소가 {right}이어야 하는데 현재 {found}입니다",
    ),
    "resolves-not": (
        "the name {what} is not known here (it should lead to {right})",
        "{what}: 이름을 찾을 수 없습니다({right} 주소가 필요합니다)",
    ),
    "no-address": (
        "{what} should have {right} and has no address",
        "{what}: {right} 주소가 있어야 하는데 주소가 없습니다",
    ),
    "more": ("and {count} more", "그 밖에 {count}건"),
    "nothing": ("nothing", "없음"),
    "unknown": ("unknown", "알 수 없음"),
    "hostname": ("the host name", "호스트 이름"),
    "no-echo": (
        "{name} ({address}) does not answer a ping",
        "{name}({address})이(가) ping에 응답하지 않습니다",
    ),
    "no-interface": ("there is no interface {name}", "{name} 인터페이스가 없습니다"),
    "interface-down": ("{name} is down", "{name}이(가) 내려가 있습니다"),
    "units-unread": (
        "the state of {unit} could not be read, systemd did not answer in time: check again",
        "systemd가 제때 응답하지 않아 {unit}의 상태를 읽지 못했습니다. 다시 확인해 보세요",
    ),
    "no-unit": ("{unit} is not installed", "{unit}이(가) 설치되어 있지 않습니다"),
    "unit-state": (
        "{unit} should be {right} and is {found}",
        "{unit}: {right}이어야 하는데 현재 {found}입니다",
    ),
    "unit-boot": (
        "{unit} should be {right} for the next boot and is {found}",
        "{unit}: 다음 부팅을 위해 {right}이어야 하는데 현재 {found}입니다",
    ),
    "no-chrony": ("chronyd does not answer", "chronyd가 응답하지 않습니다"),
    "no-source": (
        "chronyd has no source {server} ({address}); it has {found} (a changed file counts after a restart)",
        "chronyd에 {server}({address}) 소스가 없습니다. 현재: {found}(바꾼 파일은 재시작해야 반영됩니다)",
    ),
    "not-selected": (
        "chronyd knows {server} but is not synchronised to it yet (state {found}); without iburst: minutes",
        "{server}에 아직 동기화되지 않았습니다(상태 {found}). iburst가 없으면 몇 분 걸립니다",
    ),
    "no-answer-yet": (
        "chronyd knows {server} but has had no answer from it yet (state ?); does chronyd run there?",
        "{server}에서 아직 응답을 받지 못했습니다(상태 ?). 그 노드에서 chronyd가 실행 중인지 확인하세요",
    ),
    "pcs-unknown": ("pcs has no token for {names}", "pcs에 {names}의 토큰이 없습니다"),
    "pcs-knows": (
        "pcs has no token for {names} (it has {found})",
        "pcs에 {names}의 토큰이 없습니다(현재 토큰: {found})",
    ),
    "no-cluster": ("no cluster runs on {names}", "{names}에서 클러스터가 실행되고 있지 않습니다"),
    "cluster-name": ("the cluster's name", "클러스터 이름"),
    "no-quorum": ("the cluster has no quorum", "클러스터에 쿼럼이 없습니다"),
    "no-dc": ("no DC is elected", "DC가 선출되지 않았습니다"),
    "two-dcs": ("the nodes name different DCs: {names}", "노드마다 DC가 다릅니다: {names}"),
    "not-member": ("{name} is not in the cluster", "{name}이(가) 클러스터에 없습니다"),
    "short-member": (
        "{short} is in the cluster by its short name; the full name {name} is wanted",
        "{short}이(가) 짧은 이름으로 들어 있습니다. 전체 이름 {name}이(가) 필요합니다",
    ),
    "not-online": (
        "{name} should be online and is {found}",
        "{name}은(는) online이어야 하는데 현재 {found} 상태입니다",
    ),
    "too-many": (
        "{name} is in the cluster and should not be",
        "{name}은(는) 클러스터에 없어야 하는데 들어 있습니다",
    ),
    "no-corosync": ("corosync does not answer", "corosync가 응답하지 않습니다"),
    "link": ("corosync's link {number}", "corosync 링크 {number}"),
    "link-more": (
        "corosync has another link {number} at {found}",
        "corosync에 다른 링크 {number}({found})가 있습니다",
    ),
    "cib-count": (
        "the configuration (CIB) should hold {right} of {xpath} and holds {found}",
        "설정(CIB)에 {xpath}이(가) {right}개 있어야 하는데 현재 {found}개입니다",
    ),
    "at-least-one": ("at least one", "하나 이상의 "),
    "no-cib": ("the configuration (CIB) cannot be read: {found}", "설정(CIB)을 읽을 수 없습니다: {found}"),
    "exit": (
        "`{run}` should end with {right} and ended with {found}",
        "`{run}`: 종료 코드가 {right}이어야 하는데 {found}입니다",
    ),
    "output": ("`{run}` says: {found}", "`{run}`의 출력: {found}"),
    "output-wanted": (
        "`{run}` should say {right} and says: {found}",
        "`{run}`의 출력에 {right}이(가) 있어야 하는데 현재 출력: {found}",
    ),
    "too-late": (
        "`{run}` did not end within {seconds} s, the lab is busy: check again",
        "`{run}`이(가) {seconds}초 안에 끝나지 않았습니다. 랩이 바쁜 것이니 다시 확인해 보세요",
    ),
    "script-late": (
        "the command behind this check did not end within {seconds} s, the lab is busy: check again",
        "확인 명령이 {seconds}초 안에 끝나지 않았습니다. 랩이 바쁜 것이니 다시 확인해 보세요",
    ),
    "script-output": ("the command behind this check says: {found}", "확인 명령의 출력: {found}"),
    "script-nothing": ("the command behind this check says nothing", "확인 명령의 출력이 없습니다"),
    "script-exit": (
        "the command behind this check should end with {right} and ended with {found}",
        "확인 명령의 종료 코드가 {right}이어야 하는데 {found}입니다",
    ),
    "no-output": ("`{run}` says nothing", "`{run}`이(가) 아무것도 출력하지 않습니다"),
    "login": (
        "{user}@{name} does not let {source} in by key: {found}",
        "{source}에서 {user}@{name}(으)로 키 로그인이 되지 않습니다: {found}",
    ),
    "port-closed": (
        "{protocol} port {port} should answer {source} and does not ({found})",
        "{source}에서 {protocol} {port} 포트에 접속되어야 하는데 되지 않습니다({found})",
    ),
    "port-open": (
        "{protocol} port {port} should not answer {source} and does",
        "{source}에서 {protocol} {port} 포트에 접속되면 안 되는데 됩니다",
    ),
    "port-untried": ("port {port} could not be tried: {found}", "{port} 포트를 확인할 수 없습니다: {found}"),
    "no-snapshot": ("the lab has no snapshot {name}", "랩에 {name} 스냅샷이 없습니다"),
    "not-restored": (
        "the lab was not brought back to snapshot {name} after it was made",
        "랩을 {name} 스냅샷으로 되돌리지 않았습니다(스냅샷을 만든 뒤에 되돌려야 합니다)",
    ),
    "requires": (
        "Not tried yet; it builds on: {names}.",
        "아직 확인하지 않았습니다. 먼저 해결할 항목: {names}.",
    ),
    "quick": (
        "Left out by --quick: it does something to the lab.",
        "--quick 때문에 건너뛰었습니다. 랩에 작업을 가하는 확인입니다.",
    ),
    "after-reboot": ("after a reboot of {node}", "{node} 재부팅 후"),
    "after-proof": ("after that", "그 후"),
    "after-run": ("after `{run}`", "`{run}` 실행 후"),
    "no-return": (
        "{node} did not come back from its reboot: {found}",
        "{node}이(가) 재부팅 후 돌아오지 않았습니다: {found}",
    ),
    "proof-late": (
        "it did not end within {seconds} s and was cut off",
        "{seconds}초 안에 끝나지 않아 중단했습니다",
    ),
    "proof-failed": (
        "`{run}` could not be done on {node}: {found}",
        "{node}에서 `{run}`을(를) 실행할 수 없습니다: {found}",
    ),
    # -- what goes on
    "grading": ("looking at the lab", "랩을 확인하는 중"),
    "watching": (
        "Grading again and again, without proofs such as a reboot, until all is right; Ctrl-C ends it.",
        "모두 맞을 때까지 계속 채점합니다(재부팅 같은 증명은 뺍니다). 끝내려면 Ctrl-C를 누르세요.",
    ),
    "settling": ("waiting: {reason}", "기다리는 중: {reason}"),
    "settle-cluster": ("the cluster is still at work", "클러스터가 아직 작업 중입니다"),
    "settle-time": ("chronyd has just been started", "chronyd가 방금 시작되었습니다"),
    "settle-slow": ("slow to answer: {node}", "{node}의 응답이 느립니다"),
    "settle-boot": ("{node} has just been switched on", "{node}이(가) 방금 켜졌습니다"),
    "rebooting": ("proof: rebooting {node}", "증명: {node} 재부팅 중"),
    "proving": ("proof: {point}", "증명: {point}"),
    "running": ("proof: {run} on {node}", "증명: {node}에서 {run}"),
    # -- headings
    "everywhere": ("all nodes", "모든 노드"),
    "exercise": ("Exercise {id}: {title}", "실습 {id}: {title}"),
    "tasks": ("What to reach", "할 일"),
    "nodes": ("Nodes", "노드"),
    "note": ("Note", "참고"),
    "from": ("From the slides", "슬라이드"),
    "manual": ("Manual", "매뉴얼"),
    "how-to": (
        "Work on it with `{ssh}`; then `{check}`. Stuck: `{hint}`, `{solve}`.",
        "`{ssh}`로 작업한 뒤 `{check}`를 실행하세요. 막히면 `{hint}`, `{solve}`를 쓰세요.",
    ),
    "background": (
        "New to this? `{guide}` is the day's background.",
        "처음이라면 `{guide}`로 이 날의 배경 지식을 읽어 보세요.",
    ),
    "begin": (
        "Begin: `{day}` takes the day's next one, `{one}` any; the lab is put to its start.",
        "시작: 그 날의 다음 실습은 `{day}`, 원하는 실습은 `{one}`입니다. 랩은 그 실습의 시작 상태가 됩니다.",
    ),
    "hint-of": ("Hint {number} of {count}: {text}", "힌트 {number}/{count}: {text}"),
    "no-more-hints": (
        "There are no more hints. `{solve}` shows the reference solution.",
        "힌트가 더 없습니다. `{solve}`로 모범 답안을 볼 수 있습니다.",
    ),
    "all-passed": (
        "All points are right. Exercise {id} is done.",
        "모든 항목이 맞습니다. 실습 {id}을(를) 마쳤습니다.",
    ),
    "next": (
        "Next: `{next}`; it clears this one away first.",
        "다음: `{next}`. 이 실습은 먼저 정리됩니다.",
    ),
    "day-done": ("All exercises of {day} are done.", "{day}의 실습을 모두 마쳤습니다."),
    "day-done-here": (
        "All exercises of {day} that lab {lab} can hold are done.",
        "{lab} 랩에서 할 수 있는 {day}의 실습을 모두 마쳤습니다.",
    ),
    "elsewhere": (
        "{id} needs {what}, which this lab has not got: `{command}`",
        "{id}에는 이 랩에 없는 {what}이(가) 필요합니다: `{command}`",
    ),
    "lacks": (
        "Exercise {id} needs {what}, which lab {lab} has not got.",
        "실습 {id}에는 {lab} 랩에 없는 {what}이(가) 필요합니다.",
    ),
    "second-lab": (
        "This makes a second lab with a record of its own; lab {lab} stays as it is.",
        "따로 진행 기록을 갖는 두 번째 랩을 만듭니다. {lab} 랩은 그대로 남습니다.",
    ),
    "count": (
        "{passed} right, {failed} missing, {skipped} not tried",
        "맞음 {passed}, 틀림 {failed}, 건너뜀 {skipped}",
    ),
    "solved-already": ("(already so, nothing to do)", "(이미 되어 있어 할 일이 없습니다)"),
    "solved": (
        "The reference solution has run. `{check}` grades it.",
        "모범 답안을 실행했습니다. `{check}`로 채점하세요.",
    ),
    "finished": (
        "Exercise {id} is cleared away; the lab is at its start again. Go on: `{next}`.",
        "실습 {id}을(를) 정리했습니다. 랩이 시작 상태로 돌아왔습니다. 계속: `{next}`.",
    ),
    "carry-on": (
        "You are in the middle of it: the lab is as you left it. From the start: `{reset}`.",
        "진행 중인 실습입니다. 랩은 그대로입니다. 처음부터 하려면 `{reset}`을(를) 실행하세요.",
    ),
    "kept": (
        "The lab as it was is kept as snapshot {name}: `{restore}` brings it back.",
        "이전 랩 상태를 {name} 스냅샷으로 보관했습니다. `{restore}`로 되돌릴 수 있습니다.",
    ),
    "forgotten": ("The progress of {day} begins anew.", "{day}의 진행 기록을 새로 시작합니다."),
    "keep-before": (
        "keeping the lab as it is in snapshot {name}, before the course changes it",
        "실습을 시작하기 전에 현재 랩을 {name} 스냅샷으로 보관하는 중입니다",
    ),
    "to-start": (
        "bringing the lab to the start of {id}",
        "랩을 {id}의 시작 상태로 만드는 중입니다",
    ),
    "preparing": (
        "setting up what {id} begins with",
        "{id} 실습이 시작되는 상태를 준비하는 중입니다",
    ),
    "pcsd-starts": (
        "pcsd starts last: for some seconds from now pcs host and pcs cluster may get no answer from it.",
        "pcsd는 마지막에 시작됩니다. 앞으로 몇 초 동안 pcs host와 pcs cluster가 응답하지 않을 수 있습니다.",
    ),
    "first-time": (
        "making this start for the first time; later it is a restore away",
        "시작 상태를 처음 만드는 중입니다. 다음부터는 바로 복원됩니다",
    ),
    "column-exercise": ("exercise", "실습"),
    "column-state": ("state", "상태"),
    "column-checks": ("checks", "확인"),
    "column-hints": ("hints", "힌트"),
    "column-solved": ("solved", "풀이"),
    "column-student": ("student", "학생"),
    "column-done": ("done", "완료"),
    "passed-on": ("Passed on {day} ({hints} hints).", "{day}에 통과했습니다(힌트 {hints}개)."),
    "passed-helped": (
        "Passed on {day} ({hints} hints, solved by the tool).",
        "{day}에 통과했습니다(힌트 {hints}개, 도구로 풀이).",
    ),
    "partly-right": (
        "{right} of {count} points were right when it was last graded.",
        "마지막 채점에서 {count}개 항목 중 {right}개가 맞았습니다.",
    ),
    "not-done": ("Not done yet.", "아직 마치지 않았습니다."),
    "several-hosts": (
        "{student}: exports from different hosts ({hosts}). If these are two people, export with --student.",
        "{student}: 서로 다른 호스트({hosts})에서 내보냈습니다. 두 사람이면 --student를 붙여 내보내세요.",
    ),
    "machines": ("virtual machines", "가상 머신"),
    "disks": ("shared disks", "공유 디스크"),
    "done": ("done", "완료"),
    "open": ("open", "진행 중"),
    "later": ("(comes later)", "(준비 중)"),
    "todo": ("to do", "남음"),
    "by-solve": ("solved by the tool", "도구로 풀이"),
    "needs": ("needs {what}", "{what} 필요"),
    "record-full": (
        "The disk is full, so this grading is not in your record. {reset} brings the start back, with room.",
        "디스크가 가득 차서 이번 채점은 기록되지 않았습니다. {reset}을 실행하면 시작 상태로 돌아갑니다.",
    ),
    "progress-damaged": (
        "The record of your progress was damaged. It is kept as {path}; a new one begins.",
        "진행 기록이 손상되었습니다. {path}(으)로 보관하고 새로 시작합니다.",
    ),
}


def say(lang: Lang, key: str, **words: object) -> str:
    """A phrase with its words filled in."""
    english, korean = PHRASES[key]
    return (korean if lang == "ko" else english).format(**words)
