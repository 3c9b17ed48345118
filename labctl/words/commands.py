"""What the commands for the lab itself say (up, down, status, snapshot, exec …), in both languages."""

from __future__ import annotations

from typing import Final

# Under each key the English words, then the Korean ones.
PHRASES: Final[dict[str, tuple[str, str]]] = {
    # -- before an error, as wide as each other
    "label-error": ("error: ", "오류: "),
    "label-mend": ("mend:  ", "해결: "),
    "label-warning": ("warning: ", "경고: "),
    # -- states, by the words of `status --json`
    "lab-up": ("up", "정상"),
    "lab-degraded": ("degraded", "이상 있음"),
    "lab-nodes": ("nodes", "노드만 동작"),
    "lab-stopped": ("stopped", "꺼짐"),
    "lab-absent": ("absent", "없음"),
    "lab-off": ("off", "꺼짐"),
    "machine-on": ("on", "켜짐"),
    "machine-off": ("off", "꺼짐"),
    "machine-frozen": ("frozen", "멈춤"),
    "machine-missing": ("missing", "없음"),
    "cluster-online": ("online", "온라인"),
    "cluster-offline": ("offline", "오프라인"),
    "cluster-enabled": ("enabled", "켜짐"),
    "cluster-disabled": ("disabled", "꺼짐"),
    "cluster-failed": ("failed", "실패"),
    "quorate": ("quorate", "쿼럼 있음"),
    "no-quorum-now": ("no quorum", "쿼럼 없음"),
    "no-dc-now": ("none", "없음"),
    # -- stages of `up`, before what goes on
    "stage-machines": ("machines", "가상 머신"),
    "stage-image": ("image", "이미지"),
    "stage-bubble": ("bubble", "준비"),
    "stage-nodes": ("nodes", "노드"),
    "stage-cluster": ("cluster", "클러스터"),
    "stage-storage": ("storage", "디스크"),
    "stage-snapshot": ("snapshot", "스냅샷"),
    "stage-restore": ("restore", "복원"),
    # -- up
    "steps": ("{command}, lab {lab}", "{command}, {lab} 랩"),
    "nothing-to-do": ("Nothing to do.", "할 일이 없습니다."),
    "up-already": (
        "Lab {lab} is up; nothing to do ({seconds} s).",
        "{lab} 랩이 이미 동작하고 있어 할 일이 없습니다({seconds}초).",
    ),
    "port-taken": (
        "Port {asked} of 127.0.0.1 is taken; {address}:{inside} is at {port}.",
        "127.0.0.1의 {asked} 포트가 이미 쓰이고 있어 {address}:{inside}은(는) {port} 포트로 접속합니다.",
    ),
    "as-far-as": (
        "Exercise {active} is under way, so only as far as its start: {until}. All: {whole}",
        "{active} 실습이 진행 중이므로 그 시작 상태({until})까지만 진행합니다. 전체: {whole}",
    ),
    "up-done": (
        "Lab {lab} is up: {count} nodes ({family}) in {seconds} s.",
        "{lab} 랩이 준비되었습니다: 노드 {count}개({family}), {seconds}초.",
    ),
    "up-nodes": (
        "The nodes run. The cluster is yours to make, or: {whole}",
        "노드가 동작합니다. 클러스터를 직접 만들거나 다음을 실행하세요: {whole}",
    ),
    "up-cluster": (
        "Cluster {name}: quorate, {fencing}, one BMC per node.",
        "클러스터 {name}: 쿼럼 있음, {fencing}, 노드마다 BMC 하나.",
    ),
    "fencing-on": ("fencing on", "펜싱 켜짐"),
    "fencing-off": ("no fencing", "펜싱 없음"),
    "up-get-in": ("  get in      {command}", "  접속        {command}"),
    "up-pcsd": (
        "  pcsd        https://127.0.0.1:{port}   (hacluster, {password})",
        "  pcsd        https://127.0.0.1:{port}   (hacluster, {password})",
    ),
    "up-look": ("  look        {status}   ·   {validate}", "  확인        {status}   ·   {validate}"),
    "up-try": ("  try         {command}", "  시험        {command}"),
    "up-learn": ("  learn       {command}", "  실습        {command}"),
    "up-clear": ("  clear away  {command}", "  정리        {command}"),
    # -- down
    "down-kept": ("Lab {labs} is off ({seconds} s).", "{labs} 랩을 껐습니다({seconds}초)."),
    "down-not-running": ("Lab {lab} does not run.", "{lab} 랩이 실행되고 있지 않습니다."),
    "go-on": ("Go on: {command}", "계속: {command}"),
    "down-gone": ("Lab {labs} is gone ({seconds} s).", "{labs} 랩을 삭제했습니다({seconds}초)."),
    "down-none": ("There was no lab to remove.", "삭제할 랩이 없습니다."),
    "down-no-lab": (
        "There is no lab {lab}; nothing to do.",
        "{lab} 랩이 없어 할 일이 없습니다.",
    ),
    # -- status, ls
    "headline": ("Lab {lab} ({family}): {state}", "{lab} 랩({family}): {state}"),
    "headline-cluster": (
        "{lab} · cluster {name}, {quorum}, DC {dc}, fencing {fencing}",
        "{lab} · 클러스터 {name}, {quorum}, DC {dc}, 펜싱 {fencing}",
    ),
    "headline-no-cluster": ("{lab} · no cluster", "{lab} · 클러스터 없음"),
    "headline-cluster-off": (
        "{lab} · the cluster does not run",
        "{lab} · 클러스터가 실행되고 있지 않습니다",
    ),
    "headline-silent": ("{lab} · no node answers", "{lab} · 응답하는 노드가 없습니다"),
    "planned": (
        "(address): as planned for the node, but not seen on it",
        "(주소): 계획된 주소이며 노드에서 확인되지 않았습니다",
    ),
    "column-node": ("node", "노드"),
    "column-machine": ("machine", "서버"),
    "column-cluster": ("cluster", "클러스터"),
    "column-addresses": ("addresses", "주소"),
    "column-resource": ("resource", "리소스"),
    "column-agent": ("agent", "에이전트"),
    "column-on": ("on", "실행 노드"),
    "column-lab": ("lab", "랩"),
    "column-family": ("family", "배포판 계열"),
    "column-nodes": ("nodes", "노드"),
    "column-pcsd": ("pcsd", "pcsd"),
    "column-made-by": ("made by", "만든 버전"),
    "no-disks": ("shared disks: none ({reason})", "공유 디스크: 없음({reason})"),
    "disks-at": ("shared disks: {iqn} at {portal}", "공유 디스크: {iqn}, {portal}"),
    "disks-silent": (
        "shared disks: {iqn} at {portal}, does not answer",
        "공유 디스크: {iqn}, {portal}, 응답 없음",
    ),
    "disks-by": ("  by {driver}: {reason}", "  드라이버 {driver}: {reason}"),
    "logged-in": ("  {there} of {count} nodes logged in", "  노드 {count}개 중 {there}개 로그인"),
    "logged-in-not": (
        "  {there} of {count} nodes logged in; not {absent}",
        "  노드 {count}개 중 {there}개 로그인, 로그인하지 않음: {absent}",
    ),
    "disk": (
        "  {name}  {size} MiB  {wwn}  on {where}",
        "  {name}  {size} MiB  {wwn}  연결: {where}",
    ),
    "no-node": ("no node", "없음"),
    "from-host": (
        "from this host: 127.0.0.1:{port} leads to {address}:{inside}",
        "이 호스트에서 접속: 127.0.0.1:{port} → {address}:{inside}",
    ),
    "no-lab": ("No lab. Make one: {command}", "랩이 없습니다. 만들기: {command}"),
    "lab-unreadable": ("damaged or another version's", "손상되었거나 다른 버전"),
    # -- validate
    "validated": (
        "{passed} passed, {failed} failed, {skipped} skipped",
        "통과 {passed}, 실패 {failed}, 건너뜀 {skipped}",
    ),
    # -- build
    "image-built": (
        "{image}: built in {seconds} s, {size} GB, {count} packages",
        "{image}: {seconds}초 만에 만들었습니다. {size} GB, 패키지 {count}개",
    ),
    "image-kept": (
        "{image}: up to date, {size} GB, {count} packages",
        "{image}: 최신 상태입니다. {size} GB, 패키지 {count}개",
    ),
    # -- doctor; the marks before a finding are as wide as each other
    "mark-ok": ("ok  ", "정상"),
    "mark-note": ("note", "참고"),
    "mark-lack": ("LACK", "부족"),
    "host-ready": ("This host can run a lab.", "이 호스트에서 랩을 실행할 수 있습니다."),
    "host-lacks": (
        "{count} things stand in the way.",
        "먼저 해결해야 할 것이 {count}개 있습니다.",
    ),
    # -- snapshot
    "snapshot-made": (
        "Snapshot {name} of lab {lab}: {size} in {seconds} s.",
        "{lab} 랩의 스냅샷 {name}: {size}, {seconds}초.",
    ),
    "snapshot-made-still": (
        "Snapshot {name} of lab {lab}: {size} in {seconds} s; the lab stood still for {frozen} s.",
        "{lab} 랩의 스냅샷 {name}: {size}, {seconds}초. 랩이 {frozen}초 동안 멈췄습니다.",
    ),
    "snapshot-back": ("  back to it  {command}", "  되돌리기    {command}"),
    "snapshot-none": (
        "Lab {lab} has no snapshot. Make one: {command}",
        "{lab} 랩에 스냅샷이 없습니다. 만들기: {command}",
    ),
    "snapshot-of": ("{count} nodes, {quorum}", "노드 {count}개, {quorum}"),
    "snapshot-restored": (
        "Lab {lab} is back at snapshot {name} ({seconds} s).",
        "{lab} 랩을 스냅샷 {name}(으)로 되돌렸습니다({seconds}초).",
    ),
    "snapshot-restored-quorate": (
        "Lab {lab} is back at snapshot {name}, quorate ({seconds} s).",
        "{lab} 랩을 스냅샷 {name}(으)로 되돌렸습니다. 쿼럼 있음({seconds}초).",
    ),
    "snapshot-deleted": ("Deleted: {names}.", "삭제했습니다: {names}."),
    "column-snapshot": ("snapshot", "스냅샷"),
    "column-age": ("age", "경과"),
    "column-size": ("size", "크기"),
    "column-of": ("of", "내용"),
    "column-note": ("note", "메모"),
    "age-d": ("{count} d", "{count}일"),
    "age-h": ("{count} h", "{count}시간"),
    "age-min": ("{count} min", "{count}분"),
    "age-s": ("{count} s", "{count}초"),
    # -- into a lab
    "switched-off": (
        "{node} is switched off: {up} switches it on.",
        "{node}이(가) 꺼져 있습니다. 켜기: {up}",
    ),
    "no-ssh": (
        "Where ssh does not get in, {without} does: it needs no network in the node.",
        "ssh로 접속되지 않으면 {without}을(를) 쓰세요. 노드의 네트워크가 없어도 됩니다.",
    ),
    "by-agent": (
        "{node} does not answer by ssh: by its guest agent, which prints at the command's end",
        "{node}에 ssh로 접속되지 않아 게스트 에이전트로 실행합니다. 출력은 명령이 끝난 뒤에 나옵니다",
    ),
    "console-instead": (
        "{node} does not answer ({reason}); its console's last lines:",
        "{node}이(가) 응답하지 않습니다({reason}). 콘솔의 마지막 줄:",
    ),
    "lab-does-not-run": ("(the lab does not run)", "(랩이 실행되고 있지 않습니다)"),
    "forwarding": (
        "127.0.0.1:{from_port} → {address}:{port}   (Ctrl-C ends)",
        "127.0.0.1:{from_port} → {address}:{port}   (끝내려면 Ctrl-C)",
    ),
    # -- help; {} is filled in by typer
    "help-usage": ("Usage: ", "사용법: "),
    "help-arguments": ("Arguments", "인자"),
    "help-options": ("Options", "옵션"),
    "help-commands": ("Commands", "명령"),
    "help-default": ("[default: {{}}]", "[기본값: {{}}]"),
    "help-variable": ("[env var: {{}}]", "[환경 변수: {{}}]"),
    "help-required": ("[required]", "[필수]"),
    # -- any command
    "interrupted": ("Interrupted.", "중단했습니다."),
    "interrupted-half": (
        "Interrupted. `labctl up` carries on, `labctl down` clears away.",
        "중단했습니다. `labctl up`은 계속하고, `labctl down`은 정리합니다.",
    ),
    "bug": (
        "This is a bug in labctl ({kind}). Please report what is above, and `labctl doctor --json`.",
        "labctl의 버그입니다({kind}). 위의 출력과 `labctl doctor --json`의 출력을 알려 주세요.",
    ),
}
