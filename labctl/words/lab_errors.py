"""What errors of the lab and of its commands say, and their Korean; turned by labctl.words.errors."""

from __future__ import annotations

from typing import Final

from labctl.words import engine_errors, machines

# A line of an error, {…} for what changes in it; the same in Korean.
ERRORS: Final[dict[str, str]] = {
    **engine_errors.ERRORS,
    **machines.ERRORS,
    # -- up
    "There is no {option} {word} in this version.": "이 버전에 {option} {word}은(는) 없습니다.",
    "This host has no {programs}.": "이 호스트에 {programs}이(가) 없습니다.",
    "The program {program} is not installed.": "{program} 프로그램이 설치되어 있지 않습니다.",
    "There is no scenario {name}.": "{name} 시나리오가 없습니다.",
    "There is no scenario {name} (did you mean {near}?).": "{name} 시나리오가 없습니다. 혹시 {near}인가요?",
    "There is no family {family}.": "{family} 배포판 계열은 없습니다.",
    "A lab has {least} to {most} nodes, not {count}.": (
        "랩의 노드는 {least}개에서 {most}개까지입니다({count}개는 만들 수 없습니다)."
    ),
    "Lab {lab} was made of the family {before}, not {family}.": (
        "{lab} 랩은 {family}이(가) 아니라 {before} 계열로 만들었습니다."
    ),
    "Lab {lab} was made in mode {before}, not {mode}.": (
        "{lab} 랩은 {mode}이(가) 아니라 {before} 모드로 만들었습니다."
    ),
    "Lab {lab} has {before} nodes, not {nodes}.": "{lab} 랩의 노드는 {nodes}개가 아니라 {before}개입니다.",
    "Lab {lab} was made with storage driver {before}, not {wanted}.": (
        "{lab} 랩은 {wanted}이(가) 아니라 {before} 스토리지 드라이버로 만들었습니다."
    ),
    "Lab {lab} was made by labctl {version}.": "{lab} 랩은 labctl {version}에서 만들었습니다.",
    "This labctl ({version}) cannot carry on with the labs of that version.": (
        "이 labctl({version})은 그 버전의 랩을 이어서 쓸 수 없습니다."
    ),
    "The record of lab {lab}, {path}, is damaged.": "{lab} 랩의 기록 {path}이(가) 손상되었습니다.",
    "The lab's description has {many}: {names}": "랩의 설명 파일에 오류가 있습니다({many}): {names}",
    "give the path of a readable Compose file, or leave it out to take labctl's own": (
        "읽을 수 있는 Compose 파일의 경로를 주거나, labctl의 기본 파일을 쓰려면 옵션을 빼세요"
    ),
    "correct the lines above": "위의 줄을 고치세요",
    "Lab {lab} does not come to rest: after {count} rounds there was more to do.": (
        "{lab} 랩이 안정되지 않습니다. {count}번을 시도한 뒤에도 할 일이 남았습니다."
    ),
    "{count} nodes failed.": "노드 {count}개에서 실패했습니다.",
    "{node} does not boot: {where}": "{node}이(가) 부팅하지 못합니다: {where}",
    "{node} went off while it booted.": "{node}이(가) 부팅하는 동안 꺼졌습니다.",
    "{node} went down while the cluster formed and does not come back.": (
        "{node}이(가) 클러스터를 구성하는 동안 꺼져서 돌아오지 않습니다."
    ),
    "{command}, then labctl up": "{command}, 그다음 labctl up",
    "Port {port} of 127.0.0.1 is taken ({reason}).": (
        "127.0.0.1의 {port} 포트가 이미 쓰이고 있습니다({reason})."
    ),
    "Every port from {first} to {last} of 127.0.0.1 is taken ({reason}).": (
        "127.0.0.1의 {first}~{last} 포트가 모두 쓰이고 있습니다({reason})."
    ),
    "{command}   (shows who holds it), or another port in the lab's file": (
        "{command}   (포트를 쓰는 프로그램이 나옵니다), 또는 랩의 설명 파일에서 다른 포트를 지정하세요"
    ),
    "{what} cannot go: the nodes must log out first, and disks are in use.": (
        "{what} 디스크를 없앨 수 없습니다. 노드가 먼저 로그아웃해야 하는데 디스크를 쓰고 있습니다."
    ),
    "unmount them, or stop the cluster's resources on them, then labctl up": (
        "디스크를 마운트 해제하거나 디스크를 쓰는 클러스터 리소스를 멈춘 뒤 labctl up을 실행하세요"
    ),
    "The folder of lab {lab} could not be removed.": "{lab} 랩의 폴더를 지울 수 없습니다.",
    "Lab {lab} never came up.": "{lab} 랩은 시작된 적이 없습니다.",
    "--vm-image is for virtual machines, and this lab has none.": (
        "--vm-image는 가상 머신에 쓰는 옵션인데, 이 랩에는 가상 머신이 없습니다."
    ),
    "--libvirt-uri is for virtual machines, and this lab has none.": (
        "--libvirt-uri는 가상 머신에 쓰는 옵션인데, 이 랩에는 가상 머신이 없습니다."
    ),
    "--libvirt-uri is for labs of virtual machines alone, and some nodes of this one are containers.": (
        "--libvirt-uri는 모든 노드가 가상 머신인 랩에 쓰는 옵션인데, 이 랩에는 컨테이너 노드가 있습니다."
    ),
    "{command}   (their machines then are in the lab's own libvirt)": (
        "{command}   (그러면 가상 머신은 랩의 libvirt에서 실행됩니다)"
    ),
    "The machines of lab {lab} are in the lab's own libvirt, not at {uri}.": (
        "{lab} 랩의 가상 머신은 {uri}이(가) 아니라 랩의 libvirt에 있습니다."
    ),
    "The machines of lab {lab} are in the libvirt at {before}, not at {uri}.": (
        "{lab} 랩의 가상 머신은 {uri}이(가) 아니라 {before}의 libvirt에 있습니다."
    ),
    "This host runs no virtual machine.": "이 호스트에서는 가상 머신을 실행할 수 없습니다.",
    "Lab {lab} was made of {origin}, not of {file}.": (
        "{lab} 랩은 {file}이(가) 아니라 {origin}(으)로 만들었습니다."
    ),
    "{file} is of the family {family}, not {wanted}.": (
        "{file}은(는) {wanted}이(가) 아니라 {family} 계열입니다."
    ),
    "The host has no libvirtd.": "호스트에 libvirtd가 없습니다.",
    "{file} is damaged.": "{file}이(가) 손상되었습니다.",
    "There is no start {name}.": "{name} 시작 상태는 없습니다.",
    "A node cannot be added: the name {name} is taken.": (
        "노드를 추가할 수 없습니다. {name}은(는) 이미 쓰는 이름입니다."
    ),
    "{name} cannot be added: its BMC port would be {port}.": (
        "{name}을(를) 추가할 수 없습니다. BMC 포트가 {port}이(가) 됩니다."
    ),
    "{name} cannot be added: the subnet {subnet} of {network} has no free address left in steps of {step}.": (
        "{name}을(를) 추가할 수 없습니다. {network}의 서브넷 {subnet}에 {step} 간격으로 남은 주소가 없습니다."
    ),
    "a smaller x-lab.scale.address_step or a larger subnet in the lab's file": (
        "랩의 설명 파일에서 x-lab.scale.address_step을 줄이거나 서브넷을 늘리세요"
    ),
    "{action} was planned for a lab without shared disks.": (
        "공유 디스크가 없는 랩에 {action} 작업이 계획되었습니다."
    ),
    "A part of the lab could not be copied.": "랩의 일부를 복사하지 못했습니다.",
    # -- the host's packages
    "There is no package manager here that labctl knows.": "labctl이 아는 패키지 관리자가 여기에 없습니다.",
    "{program} could not install {packages}.": "{program}(으)로 {packages}을(를) 설치하지 못했습니다.",
    "Only ./lab installs packages unasked.": "묻지 않고 패키지를 설치하는 것은 ./lab뿐입니다.",
    "install {packages} with the distribution's means": "배포판의 방법으로 {packages}을(를) 설치하세요",
    "LABCTL_NO_INSTALL is set.": "LABCTL_NO_INSTALL이 설정되어 있습니다.",
    "The host lacks {programs}.": "호스트에 {programs}이(가) 없습니다.",
    # -- the node image
    "The image store {path} cannot be written.": "이미지 저장소 {path}에 쓸 수 없습니다.",
    "run ./lab or use sudo": "./lab을 실행하거나 sudo를 쓰세요",
    "Building a node image needs {needed} GiB free below {folder}.": (
        "노드 이미지를 만들려면 {folder} 아래에 {needed} GiB의 공간이 필요합니다."
    ),
    "{free} GiB are free.": "남은 공간은 {free} GiB입니다.",
    "free some room, or point LABCTL_STATE at a folder on a larger disk": (
        "공간을 확보하거나 LABCTL_STATE를 더 큰 디스크의 폴더로 지정하세요"
    ),
    "The base image {base} cannot be had.": "기본 이미지 {base}을(를) 구할 수 없습니다.",
    "pull: {failure}": "이미지 받기: {failure}",
    "pull: {failure}\nfrom packages: {refused}\n{said}": (
        "이미지 받기: {failure}\n패키지로 만들기: {refused}\n{said}"
    ),
    "pull: {failure}\nfrom packages: mmdebstrap is not installed ({refused})": (
        "이미지 받기: {failure}\n패키지로 만들기: mmdebstrap이 설치되어 있지 않습니다({refused})"
    ),
    "mmdebstrap could not make the base of {title}.": (
        "mmdebstrap이 {title}의 기본 이미지를 만들지 못했습니다."
    ),
    "labctl doctor --fix (installs mmdebstrap)": "labctl doctor --fix (mmdebstrap을 설치합니다)",
    "get a registry or a Debian mirror in reach, then: {command}": (
        "레지스트리나 Debian 미러에 접속할 수 있게 한 뒤 다음을 실행하세요: {command}"
    ),
    "The {family} image's build failed.": "{family} 이미지를 만들지 못했습니다.",
    "The {family} image's build failed: {packages} cannot be installed.": (
        "{family} 이미지를 만들지 못했습니다. 설치할 수 없는 패키지: {packages}."
    ),
    "The {family} image's build failed in package group {group}.": (
        "{family} 이미지를 만들지 못했습니다(패키지 그룹 {group})."
    ),
    "The {family} image's build failed in package group {group}: {packages} cannot be installed.": (
        "{family} 이미지를 만들지 못했습니다(패키지 그룹 {group}). 설치할 수 없는 패키지: {packages}."
    ),
    "{command} (goes on at the group that failed)": "{command} (실패한 그룹부터 계속합니다)",
    "correct {file} or the mirror, then {command} (goes on at the group that failed)": (
        "{file} 또는 미러를 고친 뒤 {command} (실패한 그룹부터 계속합니다)"
    ),
    "The built image {image} is not in {path}.": "만든 이미지 {image}이(가) {path}에 없습니다.",
    # -- snapshots, and going back to one
    "Lab {lab} never came up; there is nothing to keep.": "{lab} 랩은 시작된 적이 없어 보관할 것이 없습니다.",
    "Lab {lab} has no snapshot {name}.": "{lab} 랩에 {name} 스냅샷이 없습니다.",
    "Lab {lab} has no snapshot {name} (did you mean {near}?).": (
        "{lab} 랩에 {name} 스냅샷이 없습니다. 혹시 {near}인가요?"
    ),
    "It has none at all.": "스냅샷이 하나도 없습니다.",
    "{name} is not a snapshot's name.": "{name}은(는) 스냅샷 이름으로 쓸 수 없습니다.",
    "Lower-case letters, digits, dots, dashes and underscores; a letter or digit first; 63 at most.": (
        "영문 소문자나 숫자로 시작하고 소문자, 숫자, 마침표, 하이픈, 밑줄로 된 63자 이하의 이름을 쓰세요."
    ),
    "Lab {lab} has a snapshot {name} already.": "{lab} 랩에 {name} 스냅샷이 이미 있습니다.",
    "choose another name, or: {command}": "다른 이름을 쓰거나 다음을 실행하세요: {command}",
    "Snapshot {name} was made by labctl {version}.": "{name} 스냅샷은 labctl {version}에서 만들었습니다.",
    "This labctl ({version}) cannot restore the snapshots of that version.": (
        "이 labctl({version})은 그 버전의 스냅샷을 복원할 수 없습니다."
    ),
    "Snapshot {name} is damaged.": "{name} 스냅샷이 손상되었습니다.",
    "It says {family}, and its lab {other}.": "스냅샷의 계열은 {family}, 그 랩의 계열은 {other}입니다.",
    "Snapshot {name} is not whole.": "{name} 스냅샷이 온전하지 않습니다.",
    "It holds {entries} entries with {size} bytes; {kept} with {bytes} were kept.": (
        "지금은 항목 {entries}개, {size}바이트입니다. 보관한 것은 {kept}개, {bytes}바이트입니다."
    ),
    "Snapshot {name} is not whole: what its machines held in memory was changed.": (
        "{name} 스냅샷이 온전하지 않습니다. 보관한 메모리의 내용이 바뀌었습니다."
    ),
    "Snapshot {name} is not whole: the lab's record is missing.": (
        "{name} 스냅샷이 온전하지 않습니다. 랩의 기록이 없습니다."
    ),
    "Snapshot {name} is of lab {lab}, not of {here}.": (
        "{name} 스냅샷은 {here} 랩이 아니라 {lab} 랩의 것입니다."
    ),
    "Machines bear addresses, names and keys of their lab.": (
        "노드에는 그 랩의 주소, 이름, 키가 들어 있습니다."
    ),
    "Snapshot {name} is of a lab with other nodes.": "{name} 스냅샷은 노드가 다른 랩의 것입니다.",
    "It has {kept}; the lab has {nodes}.": "스냅샷의 노드: {kept}. 랩의 노드: {nodes}.",
    "The description of {nodes} has changed since snapshot {name} was made.": (
        "{name} 스냅샷을 만든 뒤에 {nodes}의 설명이 바뀌었습니다."
    ),
    "Networks, addresses or sizes in {file} must be as they were.": (
        "{file}의 네트워크, 주소, 크기가 그때와 같아야 합니다."
    ),
    "put the description back, or: {command}": "설명 파일을 되돌리거나 다음을 실행하세요: {command}",
    "The node image of snapshot {name} is not in the store any more.": (
        "{name} 스냅샷의 노드 이미지가 더 이상 없습니다."
    ),
    "Image {image} in {path}: the nodes' file systems lie upon it.": (
        "{path}의 이미지 {image}: 노드의 파일 시스템이 이 이미지를 바탕으로 합니다."
    ),
    "The base disk of snapshot {name} is not there any more.": (
        "{name} 스냅샷의 기본 디스크가 더 이상 없습니다."
    ),
    "The machines' disks lie upon {disk}.": "가상 머신의 디스크는 {disk}을(를) 바탕으로 합니다.",
    "The lab is being brought back to snapshot {name}, which was not finished.": (
        "{name} 스냅샷으로 되돌리는 작업이 아직 끝나지 않았습니다."
    ),
    "Lab {lab} was to be brought back to snapshot {name}, which is not there any more.": (
        "{lab} 랩을 {name} 스냅샷으로 되돌리던 중인데, 그 스냅샷이 더 이상 없습니다."
    ),
    "There is no room for snapshot {name}.": "{name} 스냅샷을 만들 공간이 없습니다.",
    "There is no room for restoring snapshot {name} beside what the lab holds now.": (
        "지금 랩의 내용을 둔 채로 {name} 스냅샷을 복원할 공간이 없습니다."
    ),
    "It needs {needed}, and {free} are free for {folder}.": (
        "{needed}이(가) 필요한데 {folder}에 남은 공간은 {free}입니다."
    ),
    "There is no room for what the machines of {lab} hold in memory.": (
        "{lab} 랩에 있는 가상 머신의 메모리를 보관할 공간이 없습니다."
    ),
    "There was no room left for snapshot {name}; nothing of it was kept.": (
        "공간이 모자라 {name} 스냅샷을 만들지 못했습니다. 만들던 것은 지웠습니다."
    ),
    "The lab takes {size}.": "랩의 크기는 {size}입니다.",
    "There was no room left to restore snapshot {name}; the lab is as it was.": (
        "공간이 모자라 {name} 스냅샷을 복원하지 못했습니다. 랩은 그대로입니다."
    ),
    "Its disks take {size}.": "디스크의 크기는 {size}입니다.",
    "There was no room left to bring lab {lab} back to snapshot {name}; it is off.": (
        "공간이 모자라 {lab} 랩을 {name} 스냅샷으로 되돌리지 못했습니다. 랩은 꺼져 있습니다."
    ),
    "There was no room left to make lab {lab} anew.": "공간이 모자라 {lab} 랩을 새로 만들지 못했습니다.",
    "Its snapshots and the record of your progress are still there.": (
        "스냅샷과 진행 기록은 그대로 남아 있습니다."
    ),
    "The snapshot is whole, and the next call goes on from here.": (
        "스냅샷은 온전하며, 다시 실행하면 여기서부터 계속합니다."
    ),
    "free some room, or: {command}": "공간을 확보하거나 다음을 실행하세요: {command}",
    "free some room on the host, then: {command}": "호스트의 공간을 확보한 뒤 다음을 실행하세요: {command}",
    "remove what fills the nodes' disks, or: {command}": (
        "노드의 디스크를 채우는 파일을 지우거나 다음을 실행하세요: {command}"
    ),
    "The lab changes faster than it can be copied within {seconds} s; it runs on.": (
        "랩이 너무 빨리 바뀌어 {seconds}초 안에 복사하지 못했습니다. 랩은 계속 동작합니다."
    ),
    "end what writes so much in the nodes and call again": (
        "노드에서 쓰기가 많은 작업을 끝낸 뒤 다시 실행하세요"
    ),
    "Files of the lab change while all its processes are stopped.": (
        "모든 프로세스를 멈춘 동안에도 랩의 파일이 바뀝니다."
    ),
    "try again": "다시 실행하세요",
    # -- into a lab
    "{node} does not answer by ssh, and its guest agent offers no terminal.": (
        "{node}에 ssh로 접속되지 않습니다. 게스트 에이전트로는 터미널을 쓸 수 없습니다."
    ),
    "--follow goes with one node.": "--follow는 노드 하나에만 쓸 수 있습니다.",
    "The {target} goes without that.": "{target}에는 그 옵션을 쓸 수 없습니다.",
    "Neither end is in a node.": "양쪽 모두 노드의 경로가 아닙니다.",
    "{node} is a container and has no console.": "{node}은(는) 컨테이너라서 콘솔이 없습니다.",
    "Lab {lab} has no virtual machines.": "{lab} 랩에는 가상 머신이 없습니다.",
    "{word} is not [HOSTPORT:]ADDRESS:PORT.": "{word}은(는) [HOSTPORT:]ADDRESS:PORT 형식이 아닙니다.",
    "A port is a number from 1 to 65535.": "포트는 1부터 65535까지의 숫자입니다.",
    "There is no completion for {shell}.": "{shell}의 자동 완성은 없습니다.",
}
# What a value on the command line should be, in pydantic's words.
INVALID: Final[dict[str, str]] = {
    "Input should be a valid integer, unable to parse string as an integer": "정수가 필요합니다",
    "Input should be a valid number, unable to parse string as a number": "숫자가 필요합니다",
    "Input should be greater than or equal to {least}": "{least} 이상이어야 합니다",
    "Input should be less than or equal to {most}": "{most} 이하여야 합니다",
    "Value error, {word} is not one of {words}.": "{word}은(는) 쓸 수 없습니다(다음 중 하나: {words})",
}
