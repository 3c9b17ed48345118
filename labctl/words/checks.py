"""What the checks of `labctl validate` found, in the learner's language.

The checks speak English, as their JSON does (labctl/checks knows no language); what a terminal shows of
them is turned here, problem by problem. tests/unit/test_words_checks.py reads their source and holds the
table to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from labctl.words.errors import REASONS
from labctl.words.lab import DRIVERS, around, turned
from labctl.words.lang import Lang

# Why a host has no way out itself (labctl/probe/gather.py, lab_checks.py).
OUTSIDE: Final[dict[str, str]] = {
    "the way outside was not tried": "외부 접속을 시험하지 않았습니다",
    "this host has no default route": "이 호스트에 기본 경로가 없습니다",
    "no name server answers this host": "이 호스트에 응답하는 네임 서버가 없습니다",
}
# Why the shared disks were not tried (labctl/storage/trial.py, labctl/probe/facts/storage.py).
UNTRIED: Final[dict[str, str]] = {
    "it was not asked for": "요청하지 않았습니다",
    "the target does not answer, see storage.target": "타깃이 응답하지 않습니다(storage.target 참고)",
    "it takes two nodes that are on": "켜진 노드가 두 개 필요합니다",
    "this family's nodes have no iSCSI initiator in user space to try it with": (
        "이 배포판 계열의 노드에는 시험에 쓸 사용자 공간 iSCSI 이니시에이터가 없습니다"
    ),
}

# A result's message, or one of its problems, {…} for what changes in it; the same in Korean.
CHECKS: Final[dict[str, str]] = {
    # -- any check
    "{node} gives no facts, see node.running.": "{node}의 상태를 읽지 못했습니다(node.running 참고).",
    "The lab is up to its nodes only (--until nodes); the cluster is yours to make.": (
        "랩이 노드까지만 준비되었습니다(--until nodes). 클러스터는 직접 만들어야 합니다."
    ),
    "The lab is up without its shared disks (--until {stage}); they are yours to make.": (
        "랩이 공유 디스크 없이 준비되었습니다(--until {stage}). 공유 디스크는 직접 만들어야 합니다."
    ),
    "The lab has no shared disks: {reason}.": "랩에 공유 디스크가 없습니다: {reason}.",
    "The lab has no shared disks: none were looked for.": (
        "랩에 공유 디스크가 없습니다: 디스크를 확인하지 않았습니다."
    ),
    **around("The lab has no shared disks: {}.", "랩에 공유 디스크가 없습니다: {}.", DRIVERS),
    # -- nodes
    "{host} is up for {seconds} s.": "{host}이(가) {seconds}초째 동작하고 있습니다.",
    "{node} was not looked at.": "{node}을(를) 확인하지 않았습니다.",
    "{node} should run, but {reason}.": "{node}이(가) 동작해야 하는데 그렇지 않습니다: {reason}.",
    **around("{node} should run, but {}.", "{node}이(가) 동작해야 하는데 그렇지 않습니다: {}.", REASONS),
    "{name} has failed": "{name}이(가) 실패했습니다",
    "No unit has failed.": "실패한 유닛이 없습니다.",
    "{unit} is not installed": "{unit}이(가) 설치되어 있지 않습니다",
    "{unit} should be active and is {state}": "{unit}: active이어야 하는데 현재 {state}입니다",
    "{unit} runs, but is {state} at boot": "{unit}이(가) 실행 중이지만 부팅 설정은 {state}입니다",
    "{unit} runs, but is not enabled at boot": (
        "{unit}이(가) 실행 중이지만 부팅할 때 시작되도록 설정되어 있지 않습니다"
    ),
    "{units}: active and enabled.": "{units}: active, enabled 상태입니다.",
    "the host name should be {right} and is {found}": (
        "호스트 이름: {right}이어야 하는데 현재 {found}입니다"
    ),
    "It is {host}.": "호스트 이름은 {host}입니다.",
    "{name} should be {right} and is {found}": "{name}의 주소가 {right}이어야 하는데 현재 {found}입니다",
    "{name} should be {right} and is unknown": "{name}: 이름을 찾을 수 없습니다({right} 주소가 필요합니다)",
    "All {count} names resolve.": "이름 {count}개의 주소를 모두 찾을 수 있습니다.",
    "chronyd does not answer.": "chronyd가 응답하지 않습니다.",
    "It serves time to the lab (stratum {stratum}).": "랩에 시간을 제공합니다(stratum {stratum}).",
    "It should serve time to the lab, but has none to serve.": (
        "랩에 시간을 제공해야 하는데 제공할 시간이 없습니다."
    ),
    "It hears {server} (selected).": "{server}에서 시간을 받습니다(선택됨).",
    "It hears {server} (not selected yet, state {state}).": (
        "{server}에서 시간을 받습니다(아직 선택되지 않음, 상태 {state})."
    ),
    "chronyd is starting ({seconds} s old), too early to judge.": (
        "chronyd가 시작하는 중({seconds}초 경과)이라 아직 판단할 수 없습니다."
    ),
    "chronyd should follow {server} and has not heard it.": (
        "chronyd가 {server}을(를) 따라야 하는데 아직 응답을 받지 못했습니다."
    ),
    "chronyd should follow {server} and is not told of it ({count} other sources).": (
        "chronyd가 {server}을(를) 따라야 하는데 소스로 설정되어 있지 않습니다(다른 소스 {count}개)."
    ),
    "the clock is at least {seconds} s ahead of that of {whose}": (
        "시계가 {whose}의 시계보다 {seconds}초 이상 빠릅니다"
    ),
    "the clock is at least {seconds} s behind that of {whose}": (
        "시계가 {whose}의 시계보다 {seconds}초 이상 느립니다"
    ),
    "No difference to {whose}'s clock beyond the measure's {seconds} s.": (
        "{whose}의 시계와 측정 오차({seconds}초) 이상의 차이가 없습니다."
    ),
    "only {free} are free on /, 0.5 are wanted": "/에 남은 공간이 {free}뿐입니다(0.5 GiB가 필요합니다)",
    "{free} are free on /.": "/에 {free}가 남아 있습니다.",
    # -- networks
    "{name} ({network}) is missing": "{name}({network})이(가) 없습니다",
    "{name} ({network}) is down": "{name}({network})이(가) 내려가 있습니다",
    "{name} ({network}) should have {right} and has {found}": (
        "{name}({network})의 주소가 {right}이어야 하는데 현재 {found}입니다"
    ),
    "{name} ({network}) should have {right} and has no address": (
        "{name}({network})에 {right} 주소가 있어야 하는데 주소가 없습니다"
    ),
    "No other node runs.": "동작하는 다른 노드가 없습니다.",
    "The node may not send echo requests.": "노드에서 ping을 보낼 수 없습니다.",
    "{node} does not answer on {network} ({address})": (
        "{node}이(가) {network} 네트워크({address})에서 응답하지 않습니다"
    ),
    "{count} other nodes answer on {networks} networks.": (
        "다른 노드 {count}개가 네트워크 {networks}개에서 응답합니다."
    ),
    **around("Nothing to expect: {}.", "확인할 수 없습니다: {}.", OUTSIDE),
    "All its networks are internal ones.": "노드의 네트워크가 모두 내부 네트워크입니다.",
    "The node has no default route, though the host has one.": (
        "호스트에는 기본 경로가 있는데 노드에는 없습니다."
    ),
    "Not tried; the default route leads to {gateway}.": ("시험하지 않았습니다. 기본 경로는 {gateway}입니다."),
    "A name server outside answers, by way of {gateway}.": (
        "외부 네임 서버가 {gateway}을(를) 거쳐 응답합니다."
    ),
    "A name server answers the host, but not the node.": (
        "네임 서버가 호스트에는 응답하지만 노드에는 응답하지 않습니다."
    ),
    # -- corosync
    "corosync does not answer.": "corosync가 응답하지 않습니다.",
    "link {number} to {peer} is {state}": "{peer}(으)로 가는 링크 {number}의 상태가 {state}입니다",
    "{wanted} links are described and corosync has {found}": (
        "설명 파일의 링크는 {wanted}개인데 corosync의 링크는 {found}개입니다"
    ),
    "All peers are connected on {count} link.": "링크 {count}개에 모든 상대 노드가 연결되어 있습니다.",
    "All peers are connected on {count} links.": "링크 {count}개에 모든 상대 노드가 연결되어 있습니다.",
    "{host} is not a member": "{host}이(가) 구성원이 아닙니다",
    "{host} is a member and not in the lab's description": (
        "{host}은(는) 랩의 설명 파일에 없는데 구성원입니다"
    ),
    "All {count} nodes are members.": "노드 {count}개가 모두 구성원입니다.",
    "link {number} should use {right} and uses {found}": (
        "링크 {number}이(가) {right}을(를) 써야 하는데 현재 {found}을(를) 씁니다"
    ),
    "link {number} should use nothing and uses {found}": (
        "링크 {number}은(는) 쓰지 않아야 하는데 현재 {found}을(를) 씁니다"
    ),
    "corosync uses {networks} only.": "corosync가 {networks} 네트워크만 씁니다.",
    # -- cluster
    "corosync answers on no node.": "corosync가 응답하는 노드가 없습니다.",
    "Pacemaker answers on no node.": "Pacemaker가 응답하는 노드가 없습니다.",
    "{node} has no quorum ({votes} of {expected} votes)": (
        "{node}에 쿼럼이 없습니다({expected}표 중 {votes}표)"
    ),
    "Quorate, with {votes} of {expected} votes.": "쿼럼이 있습니다({expected}표 중 {votes}표).",
    "Pacemaker does not answer on {node} ({said})": "{node}에서 Pacemaker가 응답하지 않습니다({said})",
    "Pacemaker does not answer on {node} (crm_mon says nothing)": (
        "{node}에서 Pacemaker가 응답하지 않습니다(crm_mon의 출력이 없음)"
    ),
    "the nodes disagree: {named}": "노드마다 DC가 다릅니다: {named}",
    "{node} knows no DC": "{node}이(가) DC를 알지 못합니다",
    "{host} is the DC.": "{host}이(가) DC입니다.",
    "the cluster does not know {host}": "클러스터에 {host}이(가) 없습니다",
    "{host} should be online and is {states}": ("{host}은(는) online이어야 하는데 현재 {states} 상태입니다"),
    "the whole cluster is in maintenance mode": "클러스터 전체가 maintenance mode입니다",
    "All {count} nodes are online.": "노드 {count}개가 모두 online입니다.",
    "{task} of {resource} failed on {node} ({reason})": (
        "{node}에서 {resource}의 {task} 동작이 실패했습니다({reason})"
    ),
    "{resource} is failed": "{resource}이(가) failed 상태입니다",
    "{resource} is blocked": "{resource}이(가) blocked 상태입니다",
    "{resource} is failed and blocked": "{resource}이(가) failed, blocked 상태입니다",
    "{count} resources, no failed action.": "리소스 {count}개, 실패한 동작이 없습니다.",
    "pcs does not know {hosts}": "pcs가 {hosts}을(를) 알지 못합니다",
    "pcs knows all {count} hosts.": "pcs가 호스트 {count}개를 모두 알고 있습니다.",
    # -- fencing
    "The lab's description leaves fencing out.": "랩의 설명 파일에 펜싱이 없습니다.",
    "No node shows its configuration (CIB).": "설정(CIB)을 보여 주는 노드가 없습니다.",
    "stonith-enabled should be true and is false": ("stonith-enabled가 true이어야 하는데 현재 false입니다"),
    "stonith-enabled is true.": "stonith-enabled가 true입니다.",
    "No fence device covers {host}.": "{host}을(를) 맡은 펜스 장치가 없습니다.",
    "The fencing topology has no level for {host}.": "펜싱 토폴로지에 {host}의 level이 없습니다.",
    "the topology names {device}, which does not exist": "토폴로지에 있는 {device} 장치가 없습니다",
    "{device} does not cover {host}": "{device} 장치가 {host}을(를) 맡지 않습니다",
    "{device} may run on {node} itself": "{device} 장치가 {node} 자신에서 실행될 수 있습니다",
    "{devices} fences it from another node.": "{devices} 장치가 다른 노드에서 펜싱합니다.",
    "{device} should be started and is {role}": ("{device} 장치가 Started이어야 하는데 현재 {role}입니다"),
    "{device} should be started and is unknown to Pacemaker": (
        "{device} 장치가 Started이어야 하는데 Pacemaker가 알지 못합니다"
    ),
    "{device} runs on {host}, which it is to fence": (
        "{device} 장치가 펜싱 대상인 {host}에서 실행되고 있습니다"
    ),
    "there is no fence device": "펜스 장치가 없습니다",
    "{host} is being fenced": "{host}을(를) 펜싱하는 중입니다",
    "{count} fence devices are started.": "펜스 장치 {count}개가 시작되어 있습니다.",
    "No other node runs that could ask it.": "물어볼 수 있는 다른 노드가 동작하지 않습니다.",
    "The BMC of {node} at {address} gives {asker} {answer}.": (
        "{node}의 BMC({address})가 {asker}에 알 수 없는 응답을 보냅니다: {answer}."
    ),
    "The BMC of {node} at {address} gives {asker} no answer: {reason}.": (
        "{node}의 BMC({address})가 {asker}에 응답하지 않습니다: {reason}."
    ),
    "The BMC of {node} at {address} says {answer}, but the node is {state}.": (
        "{node}의 BMC({address})는 {answer}(이)라고 하는데 노드는 {state} 상태입니다."
    ),
    "{address} answers {asker}: power is {power}.": ("{address}이(가) {asker}에 응답합니다. 전원: {power}."),
    # -- shared disks
    "the target does not answer: {reason}": "타깃이 응답하지 않습니다: {reason}",
    "the target does not answer: it has no {iqn}": "타깃이 응답하지 않습니다: {iqn} 없음",
    "{disk} is not served": "{disk}이(가) 제공되지 않습니다",
    "{disk} should have {right} MiB and has {found}": (
        "{disk}의 크기가 {right} MiB이어야 하는데 현재 {found} MiB입니다"
    ),
    "{target} serves {disks}.": "{target}이(가) {disks}을(를) 제공합니다.",
    "The target does not answer, see storage.target.": "타깃이 응답하지 않습니다(storage.target 참고).",
    "{initiator} ({node}) may not log in": "{initiator}({node})이(가) 로그인할 수 없습니다",
    "{initiator} may log in and is no node's": (
        "어느 노드의 것도 아닌 {initiator}이(가) 로그인할 수 있습니다"
    ),
    "CHAP should be on": "CHAP이 켜져 있어야 합니다",
    "CHAP should be off": "CHAP이 꺼져 있어야 합니다",
    "{count} initiators may log in.": "이니시에이터 {count}개가 로그인할 수 있습니다.",
    "{count} initiators may log in, with CHAP.": "이니시에이터 {count}개가 CHAP으로 로그인할 수 있습니다.",
    "{initiator} is not logged in": "{initiator}이(가) 로그인하지 않았습니다",
    "{initiator} is logged in from {addresses}": (
        "{initiator}이(가) 다른 주소({addresses})에서 로그인했습니다"
    ),
    "Logged in as {initiator}.": "{initiator}(으)로 로그인했습니다.",
    "there is no /dev/{disk}": "/dev/{disk}이(가) 없습니다",
    "/dev/{disk} should have {right} MiB and has {found}": (
        "/dev/{disk}의 크기가 {right} MiB이어야 하는데 현재 {found} MiB입니다"
    ),
    "/dev/{disk} cannot be read: {reason}": "/dev/{disk}을(를) 읽을 수 없습니다: {reason}",
    "{disks}: there, and readable.": "{disks}: 모두 있고 읽을 수 있습니다.",
    "No two nodes have a disk to compare, see storage.disks.": (
        "비교할 디스크가 있는 노드가 두 개가 되지 않습니다(storage.disks 참고)."
    ),
    "{disk} has no /dev/disk/by-id/wwn- link on {nodes}": (
        "{nodes}에 {disk}의 /dev/disk/by-id/wwn- 링크가 없습니다"
    ),
    "{disk} is not the same disk everywhere: {whereabouts}": (
        "{disk}이(가) 노드마다 다른 디스크입니다: {whereabouts}"
    ),
    "Every name leads to one disk, on all nodes.": "모든 노드에서 이름마다 같은 디스크를 가리킵니다.",
    "The same disks on all nodes, under other names ({whereabouts}): use /dev/disk/by-id.": (
        "모든 노드에 같은 디스크가 있지만 이름이 다릅니다({whereabouts}). /dev/disk/by-id를 쓰세요."
    ),
    **around("Not tried: {}.", "시험하지 않았습니다: {}.", UNTRIED),
    "{initiator} could log in and read": "{initiator}이(가) 로그인하여 읽을 수 있었습니다",
    "An initiator that is on no list is sent away.": "목록에 없는 이니시에이터는 거부됩니다.",
    "{writer} cannot write: {reason}": "{writer}이(가) 쓸 수 없습니다: {reason}",
    "{reader} does not read what {writer} wrote: {reason}": (
        "{writer}이(가) 쓴 것을 {reader}이(가) 읽지 못합니다: {reason}"
    ),
    "{reader} reads what {writer} wrote.": "{writer}이(가) 쓴 것을 {reader}이(가) 읽습니다.",
}


def check_in_words(lang: Lang, message: str, problems: Sequence[str] = ()) -> str:
    """A result's message as the learner reads it; what no table has stays as it is.

    problems: those that a failed one's message is made of, none when it is one sentence.
    """
    if lang == "en":
        return message
    if problems:
        return "; ".join(turned(problem, CHECKS) or problem for problem in problems) + "."
    return turned(message, CHECKS) or message
