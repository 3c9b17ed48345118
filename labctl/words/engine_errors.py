"""What errors of what runs the nodes say, and their Korean: programs, podman, libvirt, namespaces, disks.

Turned by labctl.words.errors; what those programs themselves say stays as it is.
"""

from __future__ import annotations

from typing import Final

# Why the host's iscsiadm failed (explain() of labctl/storage/lio_session.py).
EXPLAINED: Final[dict[str, str]] = {
    "the host's iscsid cannot be reached or made a mistake": (
        "호스트의 iscsid에 접속할 수 없거나 iscsid에 오류가 있습니다"
    ),
    "the connection timed out": "연결 시간이 초과되었습니다",
    "iscsid cannot be reached": "iscsid에 접속할 수 없습니다",
    "the portal cannot be reached": "포털에 접속할 수 없습니다",
    "iscsid did not answer in time": "iscsid가 제시간에 응답하지 않았습니다",
    "the target refused for an error of its own": "타깃이 자체 오류로 거부했습니다",
    "iscsid is not running": "iscsid가 실행되고 있지 않습니다",
    "the target refused the initiator": "타깃이 이니시에이터를 거부했습니다",
    "the target refused the login: no ACL for this initiator, or wrong CHAP credentials": (
        "타깃이 로그인을 거부했습니다. 이 이니시에이터의 ACL이 없거나 CHAP 인증 정보가 틀렸습니다"
    ),
}
# What is wrong with the target's disks (labctl/storage/disks.py).
SPOILT: Final[dict[str, str]] = {
    "{path} is gone": "{path}이(가) 없어졌습니다",
    "{path} has {found} bytes, not {size}: truncated, or the disk was made larger": (
        "{path}의 크기가 {size}바이트가 아니라 {found}바이트입니다. 잘렸거나 디스크를 늘린 것입니다"
    ),
    "{path} was made with {had} bytes; the lab's file now says {size}": (
        "{path}은(는) {had}바이트로 만들었는데 랩의 설명 파일에는 {size}바이트로 되어 있습니다"
    ),
}
# Programs that failed, whoever called them.
PROGRAMS: Final[dict[str, str]] = {
    "{tool} failed.": "{tool} 실행에 실패했습니다.",
    "{tool} did not end within {seconds} s.": "{tool}이(가) {seconds}초 안에 끝나지 않았습니다.",
    "{tool} failed on {node}.": "{node}에서 {tool} 실행에 실패했습니다.",
    "{tool} on {node} did not end within {seconds} s.": (
        "{node}에서 {tool}이(가) {seconds}초 안에 끝나지 않았습니다."
    ),
}

ERRORS: Final[dict[str, str]] = {
    **PROGRAMS,
    # -- waiting
    "Waited {seconds} s for {awaited}, in vain.": (
        "{seconds}초 동안 기다렸지만 이루어지지 않았습니다: {awaited}."
    ),
    "The wait for {awaited} was interrupted.": "기다리는 중에 중단되었습니다: {awaited}.",
    "Last seen: {seen}": "마지막 상태: {seen}",
    # -- labctl itself, its folders and files
    "LABCTL_STATE must be an absolute path, not {path}.": (
        "LABCTL_STATE는 {path}이(가) 아니라 절대 경로여야 합니다."
    ),
    "The path {path} is too long for a socket.": "경로 {path}이(가) 소켓에 쓰기에는 너무 깁니다.",
    "choose a shorter folder: {command}": "더 짧은 폴더를 쓰세요: {command}",
    "labctl's own file {name} is missing.": "labctl의 파일 {name}이(가) 없습니다.",
    "looked in: {places}": "찾아본 곳: {places}",
    "{command}, or from a clone: {other}": "{command}, 클론에서는: {other}",
    "{path} is damaged ({error}).": "{path}이(가) 손상되었습니다({error}).",
    "There is no family {family}; there are {names}.": "{family} 배포판 계열은 없습니다. 있는 것: {names}.",
    "{path} is not a family's description.": "{path}은(는) 배포판 계열의 설명이 아닙니다.",
    "{path} names the family {family}, its folder {name}.": (
        "{path}의 배포판 계열은 {family}인데 폴더의 이름은 {name}입니다."
    ),
    "look at the line with E: above; is a Debian mirror in reach?": (
        "위에서 E:로 시작하는 줄을 보세요. Debian 미러에 접속할 수 있나요?"
    ),
    # -- podman, too old or silent
    "podman does not tell its version: {output}.": "podman의 버전을 알 수 없습니다: {output}.",
    "podman {version} is too old, {least} or newer is needed.": (
        "podman {version}은(는) 너무 오래되었습니다. {least} 이상이 필요합니다."
    ),
    "reinstall podman": "podman을 다시 설치하세요",
    "upgrade the distribution (Debian 12, Ubuntu 24.04, RHEL 9, or newer)": (
        "배포판을 업그레이드하세요(Debian 12, Ubuntu 24.04, RHEL 9 이상)"
    ),
    "podman did not answer {method} {path} within {seconds} s.": (
        "podman이 {seconds}초 안에 응답하지 않았습니다({method} {path})."
    ),
    "The lab's podman service does not answer ({error}).": (
        "랩의 podman 서비스가 응답하지 않습니다({error})."
    ),
    "podman refused {method} {path}.": "podman이 요청을 거부했습니다({method} {path}).",
    "The lab's podman service ended.": "랩의 podman 서비스가 종료되었습니다.",
    "A file could not be read whole.": "파일을 끝까지 읽지 못했습니다.",
    "podman refused to start {node}.": "podman이 {node}의 시작을 거부했습니다.",
    "podman does not cut the power of {node}, which is frozen.": (
        "{node}이(가) 멈춘 상태라서 podman이 전원을 끄지 못합니다."
    ),
    "podman's stream of events broke.": "podman의 이벤트 스트림이 끊겼습니다.",
    "{path} on {node} is not a file.": "{node}의 {path}은(는) 파일이 아닙니다.",
    # -- libvirt
    "The lab's libvirt does not answer.": "랩의 libvirt가 응답하지 않습니다.",
    "libvirt does not list the machines.": "libvirt에서 가상 머신 목록을 얻지 못했습니다.",
    "libvirt refused to make {node}.": "libvirt가 {node}을(를) 만들지 못했습니다.",
    "libvirt refused to start {node}.": "libvirt가 {node}의 시작을 거부했습니다.",
    "libvirt refused to shut {node} down.": "libvirt가 {node}의 종료를 거부했습니다.",
    "libvirt refused to remove {node}.": "libvirt가 {node}의 삭제를 거부했습니다.",
    "The power of {node} could not be cut.": "{node}의 전원을 끄지 못했습니다.",
    "libvirt refused to freeze {node}.": "libvirt가 {node}을(를) 일시 정지하지 못했습니다.",
    "libvirt refused to thaw {node}.": "libvirt가 {node}을(를) 다시 움직이지 못했습니다.",
    "libvirt does not keep the memory of {node}.": "libvirt가 {node}의 메모리를 보관하지 못했습니다.",
    "libvirt does not tell the size of {node}.": "libvirt에서 {node}의 크기를 알 수 없습니다.",
    "libvirt does not wake {node}.": "libvirt가 {node}을(를) 깨우지 못했습니다.",
    "{machine} does not answer.": "{machine}이(가) 응답하지 않습니다.",
    "libvirt does not find {node}.": "libvirt에서 {node}을(를) 찾을 수 없습니다.",
    "libvirt does not tell a machine's state.": "libvirt에서 가상 머신의 상태를 알 수 없습니다.",
    "There is no machine {node}.": "{node} 가상 머신이 없습니다.",
    "There is a machine {node} already.": "{node} 가상 머신이 이미 있습니다.",
    "{node} cannot be made: the lab's machines are not described.": (
        "{node}을(를) 만들 수 없습니다. 랩의 가상 머신에 대한 기록이 없습니다."
    ),
    "Files could not be placed on {node}.": "{node}에 파일을 넣지 못했습니다.",
    "{path} on {node} cannot be read: the machine is off.": (
        "{node}의 {path}을(를) 읽을 수 없습니다. 가상 머신이 꺼져 있습니다."
    ),
    "The disk that {node} writes to is full, so it stands still at its next write.": (
        "{node}이(가) 쓰는 디스크가 가득 차서 다음에 쓸 때 멈춥니다."
    ),
    "Its file is below {path}.": "디스크 파일은 {path} 아래에 있습니다.",
    "make room, then labctl up": "공간을 확보한 뒤 labctl up을 실행하세요",
    "The path {path} is too long for the sockets that would be the machines' networks.": (
        "경로 {path}이(가) 가상 머신의 네트워크에 쓸 소켓의 경로로는 너무 깁니다."
    ),
    "a shorter name for the lab, or a shorter folder: {command}": (
        "랩의 이름을 줄이거나 더 짧은 폴더를 쓰세요: {command}"
    ),
    "The libvirt at {uri} does not take the machine {node}.": (
        "{uri}의 libvirt가 가상 머신 {node}을(를) 받아들이지 않습니다."
    ),
    "The machines of lab {lab} cannot be ended: {refused}": (
        "{lab} 랩의 가상 머신을 끝낼 수 없습니다: {refused}"
    ),
    "They are in the libvirt at {uri}.": "가상 머신은 {uri}의 libvirt에 있습니다.",
    "systemctl start libvirtd   (or virtqemud), and again; if it is gone for good: {command}": (
        "systemctl start libvirtd   (또는 virtqemud), 그다음 다시 실행."
        " libvirt가 완전히 없어졌다면: {command}"
    ),
    "The libvirt at {uri} has a machine {title} that is not of this lab.": (
        "{uri}의 libvirt에 이 랩의 것이 아닌 가상 머신 {title}이(가) 있습니다."
    ),
    "another name for this lab, or: {command}   (tells whose it is)": (
        "랩의 이름을 바꾸거나 다음을 실행하세요: {command}   (누구의 것인지 나옵니다)"
    ),
    "mend the way to {host}, or its libvirtd, and again; if it is gone for good: {command}": (
        "{host}에 접속할 수 있게 하거나 그 libvirtd를 고친 다음 다시 실행."
        " 호스트가 완전히 없어졌다면: {command}"
    ),
    "{uri} is no libvirt of another host that labctl can use.": (
        "{uri}은(는) labctl이 쓸 수 있는 다른 호스트의 libvirt가 아닙니다."
    ),
    "It is no URI.": "URI가 아닙니다.",
    "Another host is reached by ssh, which carries networks and disks, too.": (
        "다른 호스트에는 ssh로 접속합니다. 네트워크와 디스크도 그 접속으로 오갑니다."
    ),
    "It names no host.": "호스트 이름이 없습니다.",
    "{names}: not known here; ssh_config(5) is the place for all else.": (
        "{names}: 여기서는 쓸 수 없습니다. 나머지는 ssh_config(5)에 적습니다."
    ),
    "It ends in /system or /session.": "/system이나 /session으로 끝나야 합니다.",
    "Its files are absolute paths.": "파일은 절대 경로로 적어야 합니다.",
    "{uri} is no URI of a QEMU.": "{uri}은(는) QEMU의 URI가 아닙니다.",
    "There are {names}, {other} for another socket, and {remote} for another host.": (
        "쓸 수 있는 것은 {names}이고, 다른 소켓에는 {other}, 다른 호스트에는 {remote}을(를) 씁니다."
    ),
    "ssh does not get to {host}.": "ssh로 {host}에 접속할 수 없습니다.",
    "make this work without a question, as root: {command}   (ssh-copy-id gives a host your key)": (
        "root로 다음 명령이 아무것도 묻지 않고 실행되게 하세요: {command}"
        "   (ssh-copy-id가 키를 호스트에 등록합니다)"
    ),
    "No libvirt answers on {host}: there is no socket {socket}.": (
        "{host}에서 응답하는 libvirt가 없습니다. 소켓 {socket}이(가) 없습니다."
    ),
    "on {host}: systemctl start libvirtd   (or virtqemud.socket; a session's: {command})": (
        "{host}에서: systemctl start libvirtd   (또는 virtqemud.socket, 세션의 libvirt는 {command})"
    ),
    "The folder {folder} cannot be made on {host}.": "{host}에 폴더 {folder}을(를) 만들 수 없습니다.",
    "{file} could not be copied to {host}.": "{file}을(를) {host}에 복사하지 못했습니다.",
    "make room there: {command}": "그 호스트에 공간을 확보하세요: {command}",
    "make room and rights there: {command}": "거기에 공간과 권한을 확보하세요: {command}",
    "The connection to the host of the machines of lab {lab} has ended.": (
        "{lab} 랩의 가상 머신이 있는 호스트와의 접속이 끊어졌습니다."
    ),
    "{command}   (boots them anew: their disks went with it)": (
        "{command}   (다시 부팅합니다. 디스크도 그 접속으로 연결되어 있었습니다)"
    ),
    "The disks of machines on another host are served by {program}, which is not here.": (
        "다른 호스트에 있는 가상 머신의 디스크는 {program}이(가) 제공하는데, 이 호스트에 없습니다."
    ),
    "install QEMU's tools: {packages}": "QEMU 도구를 설치하세요: {packages}",
    "The disks of {machine} cannot be served to the host of its virtual machine.": (
        "{machine}의 디스크를 그 가상 머신이 있는 호스트에 제공할 수 없습니다."
    ),
    "{command}; its words are in {log}": "{command}. 메시지는 {log}에 있습니다",
    "Another host's libvirt has it, and keeps it.": "다른 호스트의 libvirt가 가지고 있습니다.",
    "No libvirt of a session answers: there is no socket in {folder}.": (
        "세션의 libvirt가 응답하지 않습니다. {folder}에 소켓이 없습니다."
    ),
    "{command}   (as that user; it starts one)": "{command}   (그 사용자로 실행하면 시작됩니다)",
    "systemctl start libvirtd   (or virtqemud; {command} tells whether it answers)": (
        "systemctl start libvirtd   (또는 virtqemud. 응답하는지는 {command}(으)로 알 수 있습니다)"
    ),
    "The libvirt at {uri} does not answer within {seconds} s.": (
        "{uri}의 libvirt가 {seconds}초 안에 응답하지 않습니다."
    ),
    "The libvirt at {uri} does not let us in.": "{uri}의 libvirt가 접속을 허용하지 않습니다.",
    "see auth_unix_rw and unix_sock_group in that daemon's configuration in /etc/libvirt": (
        "/etc/libvirt에 있는 그 데몬의 설정에서 auth_unix_rw와 unix_sock_group을 확인하세요"
    ),
    "No libvirt answers at {uri}.": "{uri}에서 응답하는 libvirt가 없습니다.",
    "The libvirt at {uri} has no QEMU.": "{uri}의 libvirt에 QEMU가 없습니다.",
    "The libvirt at {uri} has QEMU {found}; the lab's networks need 7.2 or later.": (
        "{uri}의 libvirt에 있는 QEMU는 {found}입니다. 랩의 네트워크에는 7.2 이상이 필요합니다."
    ),
    "{command}   (the lab's own libvirtd does with what there is)": (
        "{command}   (랩의 libvirtd는 지금 있는 QEMU로 됩니다)"
    ),
    "The account {uid} of that libvirt's machines cannot enter {folder}.": (
        "그 libvirt의 가상 머신이 쓰는 계정 {uid}이(가) {folder}에 들어갈 수 없습니다."
    ),
    "The machines' disks are below {path}.": "가상 머신의 디스크는 {path} 아래에 있습니다.",
    # -- the lab's namespaces, its BMCs
    "The lab's namespaces could not be made.": "랩의 네임스페이스를 만들지 못했습니다.",
    "it ended at once": "바로 종료되었습니다",
    "The lab ended while it started.": "랩이 시작하는 동안 종료되었습니다.",
    "The control group of lab {lab} cannot be reached.": "{lab} 랩의 컨트롤 그룹을 찾을 수 없습니다.",
    "The lab does not stop.": "랩이 멈추지 않습니다.",
    "The lab cannot be stopped.": "랩을 멈출 수 없습니다.",
    "The process that guards a frozen lab did not start.": (
        "멈춘 랩을 지키는 프로세스가 시작되지 않았습니다."
    ),
    "The BMC of {node} cannot listen on UDP port {port} of {address}: {reason}.": (
        "{node}의 BMC가 {address}의 UDP 포트 {port}을(를) 열 수 없습니다: {reason}."
    ),
    "give the BMC a numeric address and a port from 1 to 65535 in compose.yaml": (
        "compose.yaml에서 BMC에 숫자로 된 주소와 1~65535 사이의 포트를 지정하세요"
    ),
    "end the program that {command} shows, then labctl up": (
        "{command}에 나오는 프로그램을 끝낸 뒤 labctl up을 실행하세요"
    ),
    "run labctl as root": "labctl을 root로 실행하세요",
    # -- shared disks
    "The storage driver lio cannot run here.": "lio 스토리지 드라이버를 여기서 쓸 수 없습니다.",
    "The storage driver {driver} cannot run here: {lack}.": (
        "{driver} 스토리지 드라이버를 여기서 쓸 수 없습니다: {lack}."
    ),
    "run labctl outside the container": "컨테이너 밖에서 labctl을 실행하세요",
    "modprobe -a {modules}   (Debian: kernel package linux-image-amd64, not -cloud)": (
        "modprobe -a {modules}   (Debian: -cloud가 아닌 커널 패키지 linux-image-amd64)"
    ),
    "{command}, or end the other one first": "{command}, 또는 다른 쪽을 먼저 끝내세요",
    "Virtual machines have kernels of their own; the userspace driver is for containers.": (
        "가상 머신에는 자체 커널이 있습니다. userspace 드라이버는 컨테이너용입니다."
    ),
    "The nodes that are containers cannot reach the machines' disks: {lack}.": (
        "컨테이너 노드는 가상 머신의 디스크에 접근할 수 없습니다: {lack}."
    ),
    "{node} could not log in to {target}.": "{node}이(가) {target}에 로그인하지 못했습니다.",
    "labctl logs {node}, then {command}": "labctl logs {node}, 그다음 {command}",
    "The target does not confirm that {address} is cut off from the disks.": (
        "{address}의 디스크 접근이 차단되었는지 타깃이 확인해 주지 않습니다."
    ),
    "The disks of the target could not be made.": "타깃의 디스크를 만들지 못했습니다.",
    "{count} of the target's disks cannot be served.": "타깃의 디스크 {count}개를 제공할 수 없습니다.",
    "{command}, or begin anew: {other}": "{command}, 또는 새로 시작: {other}",
    "Not all of lab {lab} is out of the kernel.": "{lab} 랩의 일부가 커널에 남아 있습니다.",
    "Lab {lab} has no claim on the kernel's target.": "{lab} 랩이 커널의 타깃을 쓴다는 기록이 없습니다.",
    "{disk} of {session} cannot be set offline.": "{session}의 {disk}을(를) 오프라인으로 바꿀 수 없습니다.",
    "its state is {now}; {problem}": "현재 상태: {now}. {problem}",
    "It is not certain that {node} is cut off from the disks.": (
        "{node}의 디스크 접근이 차단되었는지 확실하지 않습니다."
    ),
    "The target cannot listen on {address}:{port}.": "타깃이 {address}:{port}에서 연결을 받을 수 없습니다.",
    "{command}, then up: it takes another port": "{command}, 그다음 up(다른 포트를 씁니다)",
    "The host's iscsiadm failed.": "호스트의 iscsiadm이 실패했습니다.",
    "systemctl status iscsid.service   (on the host)": "systemctl status iscsid.service   (호스트에서)",
    "The session of {initiator} ended at once.": "{initiator}의 세션이 바로 끝났습니다.",
    "iscsiadm made no record for {iface}.": "iscsiadm이 {iface}의 레코드를 만들지 않았습니다.",
}
