"""What `labctl doctor` finds and what mends it, in the learner's language.

Those who look speak English, as the JSON does; what a terminal shows of a finding is turned here.
tests/unit/test_words_doctor.py reads their source and holds the tables to it.
"""

from __future__ import annotations

from typing import Final

from labctl.words.errors import reworded
from labctl.words.lab import around, turned
from labctl.words.lang import Lang
from labctl.words.packages import PURPOSES

# What is tried (labctl/host/doctor.py).
TRIED: Final[dict[str, str]] = {
    "mount, network and PID namespaces": "마운트, 네트워크, PID 네임스페이스",
    "overlay file system in {folder}": "{folder}의 overlay 파일 시스템",
    "bridge and veth links": "bridge와 veth 링크",
    "nf_tables with address translation": "주소 변환이 되는 nf_tables",
    "iptables with address translation": "주소 변환이 되는 iptables",
    "tap device, for the nodes' way to the outside": "노드의 외부 접속에 쓰는 tap 장치",
}
# Why virtual machines are emulated (labctl/vm/accel.py).
EMULATED: Final[dict[str, str]] = {
    "there is no {device}": "{device} 없음",
    "{device} cannot be opened ({error})": "{device}을(를) 열 수 없음({error})",
    "{device} does not work here: {reason}": "{device}이(가) 여기서 동작하지 않음: {reason}",
}
# What virtual machines get where they cannot have all (labctl/vm/room.py).
_LESS_MEMORY = (
    "This host can spare {spare} of memory for {count} virtual machines, so {differences}.",
    "이 호스트가 가상 머신 {count}개에 줄 수 있는 메모리는 {spare}입니다: {differences}.",
)
_LESS_CPUS: Final[dict[str, str]] = {
    "This host has {processors} processors, so none gets more than {most}.": (
        "이 호스트의 프로세서가 {processors}개라서 가상 머신마다 최대 {most}개를 씁니다."
    ),
    "This host has {processors} processors for {among} emulated machines, so none gets more than {most}.": (
        "에뮬레이션하는 가상 머신 {among}개에 프로세서가 {processors}개라서"
        " 가상 머신마다 최대 {most}개를 씁니다."
    ),
}

# What is found, {…} for what changes in it; the same in Korean.
FINDINGS: Final[dict[str, str]] = {
    "not root: namespaces, networks, mounts need it.": (
        "root가 아닙니다. 네임스페이스, 네트워크, 마운트에 root 권한이 필요합니다."
    ),
    "root, but without CAP_SYS_ADMIN and CAP_NET_ADMIN.": (
        "root이지만 CAP_SYS_ADMIN과 CAP_NET_ADMIN이 없습니다."
    ),
    "root": "root 권한이 있습니다",
    "root, without CAP_SYS_RESOURCE: limits stay as they are": (
        "root 권한이 있습니다. CAP_SYS_RESOURCE가 없어 제한(limits)은 그대로입니다"
    ),
    **around("{path} ({})", "{path} ({})", PURPOSES),
    **around("{program} is missing ({}).", "{program}이(가) 없습니다({}).", PURPOSES),
    "podman does not tell its version: {output}.": "podman의 버전을 알 수 없습니다: {output}.",
    "podman {version} is too old, {least} or newer is needed.": (
        "podman {version}은(는) 너무 오래되었습니다. {least} 이상이 필요합니다."
    ),
    **around("{}: works", "{}: 동작합니다", TRIED),
    **around("{}: does not work", "{}: 동작하지 않습니다", TRIED),
    **around("{}: does not work ({failure})", "{}: 동작하지 않습니다({failure})", TRIED),
    "control groups: {mode}": "컨트롤 그룹: {mode}",
    "control groups: {mode}; the lab mounts a cgroup2 of its own": (
        "컨트롤 그룹: {mode}. 랩은 자체 cgroup2를 마운트합니다"
    ),
    "control groups: {mode}, and no cgroup2 file system can be mounted.": (
        "컨트롤 그룹: {mode}. cgroup2 파일 시스템을 마운트할 수 없습니다."
    ),
    "{free} GiB free for {folder}": "{folder}에 남은 공간: {free} GiB",
    "{free} GiB free for {folder}; {needed} GiB are needed.": (
        "{folder}에 남은 공간: {free} GiB. {needed} GiB가 필요합니다."
    ),
    "{free} GiB free for {folder}; {good} GiB are comfortable.": (
        "{folder}에 남은 공간: {free} GiB. {good} GiB면 넉넉합니다."
    ),
    "{available} GiB of memory to be had, {nodes} nodes take about {needed} GiB": (
        "쓸 수 있는 메모리: {available} GiB. 노드 {nodes}개에 약 {needed} GiB가 필요합니다"
    ),
    "open files: at most {limit}": "열 수 있는 파일: 최대 {limit}개",
    "open files: at most any number": "열 수 있는 파일: 제한 없음",
    "corosync runs on this host; the lab does not touch it": (
        "이 호스트에서 corosync가 실행 중입니다. 랩은 건드리지 않습니다"
    ),
    "SELinux enforces; nodes run unconfined (privileged)": (
        "SELinux가 enforcing입니다. 노드는 제한 없이(privileged) 실행됩니다"
    ),
    "AppArmor is on; nodes run unconfined (privileged)": (
        "AppArmor가 켜져 있습니다. 노드는 제한 없이(privileged) 실행됩니다"
    ),
    "/dev/fuse is there": "/dev/fuse가 있습니다",
    "/dev/fuse is not there": "/dev/fuse가 없습니다",
    "loop devices: there": "loop 장치가 있습니다",
    "loop devices: not there": "loop 장치가 없습니다",
    # -- shared disks
    "shared disks by the kernel's own iSCSI: works": "커널의 iSCSI로 공유 디스크: 동작합니다",
    "shared disks by userspace programs, for {lack}": "사용자 공간 프로그램으로 공유 디스크: {lack}",
    # -- virtual machines
    "virtual machines (--mode vm) lack: {purposes}": "가상 머신(--mode vm)에 필요한데 없는 것: {purposes}",
    "virtual machines (--mode vm): QEMU and libvirt are there": (
        "가상 머신(--mode vm): QEMU와 libvirt가 있습니다"
    ),
    "This Python ({version}) cannot load libvirt's binding.": (
        "이 Python({version})에서 libvirt 바인딩을 불러올 수 없습니다."
    ),
    "Guests run on {device} (a small one takes {seconds} s to begin).": (
        "가상 머신이 {device}(으)로 실행됩니다(작은 가상 머신의 시작에 {seconds}초)."
    ),
    **around(
        "Guests are emulated, which is slow (a small one takes {seconds} s to begin): {}.",
        "가상 머신을 에뮬레이션하므로 느립니다(작은 가상 머신의 시작에 {seconds}초): {}.",
        EMULATED,
    ),
    "there is no {device}: virtual machines are emulated": "{device} 없음: 가상 머신을 에뮬레이션합니다",
    "{device} cannot be opened ({error}): virtual machines are emulated": (
        "{device}을(를) 열 수 없음({error}): 가상 머신을 에뮬레이션합니다"
    ),
    "{device} opens; the first VM tries it": "{device}을(를) 열 수 있습니다. 첫 가상 머신이 시험합니다",
    "This host can spare {spare} of memory, and {count} virtual machines take at least {least}.": (
        "이 호스트가 줄 수 있는 메모리는 {spare}인데 가상 머신 {count}개에 적어도 {least}가 필요합니다."
    ),
    "{folder} has {free} of room, and {count} virtual machines may take {needed}.": (
        "{folder}에 남은 공간은 {free}인데 가상 머신 {count}개가 {needed}까지 쓸 수 있습니다."
    ),
    _LESS_MEMORY[0]: _LESS_MEMORY[1],
    **_LESS_CPUS,
    **around(f"{_LESS_MEMORY[0]} {{}}", f"{_LESS_MEMORY[1]} {{}}", _LESS_CPUS),
    "{count} virtual machines have room for what they want": (
        "가상 머신 {count}개를 원하는 크기로 실행할 공간이 있습니다"
    ),
}
_PRIVILEGED = "컨테이너 안이라면 그 컨테이너를 privileged로 실행하세요"
# What mends it, where that is not a command alone.
MENDS: Final[dict[str, str]] = {
    "run it by sudo": "sudo로 실행하세요",
    "inside a container: run that one privileged": _PRIVILEGED,
    "./lab doctor installs one": "./lab doctor가 설치해 줍니다",
    "podman --version tells more": "podman --version으로 자세히 볼 수 있습니다",
    "reinstall podman": "podman을 다시 설치하세요",
    "upgrade the distribution (Debian 12, Ubuntu 24.04, RHEL 9, or newer)": (
        "배포판을 업그레이드하세요(Debian 12, Ubuntu 24.04, RHEL 9 이상)"
    ),
    "sysctl -w user.max_mnt_namespaces=1024 user.max_net_namespaces=1024;"
    " inside a container: run that one privileged": (
        f"sysctl -w user.max_mnt_namespaces=1024 user.max_net_namespaces=1024; {_PRIVILEGED}"
    ),
    "boot with systemd.unified_cgroup_hierarchy=1; inside a container: run that one privileged": (
        f"systemd.unified_cgroup_hierarchy=1로 부팅하세요. {_PRIVILEGED}"
    ),
    "load it (modprobe {modules}) or use a kernel that has it; inside a container: run that one privileged": (
        f"모듈을 불러오거나(modprobe {{modules}}) 모듈이 있는 커널을 쓰세요. {_PRIVILEGED}"
    ),
    "put the lab on ext4 or xfs: LABCTL_STATE=/other/folder labctl …": (
        "랩을 ext4나 xfs에 두세요: LABCTL_STATE=/other/folder labctl …"
    ),
    "free some room, or move the lab: {command}": "공간을 확보하거나 랩을 옮기세요: {command}",
    "end other programs, or use --nodes 2": "다른 프로그램을 끝내거나 --nodes 2를 쓰세요",
    "raise the hard limit: ulimit -Hn {limit} (limits.conf(5))": (
        "hard limit을 올리세요: ulimit -Hn {limit} (limits.conf(5))"
    ),
    "with many nodes: {command}": "노드가 많으면: {command}",
    "run labctl outside the container": "컨테이너 밖에서 labctl을 실행하세요",
    "modprobe -a {modules}   (Debian: kernel package linux-image-amd64, not -cloud)": (
        "modprobe -a {modules}   (Debian: -cloud가 아닌 커널 패키지 linux-image-amd64)"
    ),
    "{python} -m pip install libvirt-python"
    "   (compiles it: needs gcc, pkg-config, the headers of this Python and libvirt's)": (
        "{python} -m pip install libvirt-python"
        "   (컴파일합니다. gcc, pkg-config, 이 Python과 libvirt의 헤더가 필요합니다)"
    ),
    "{command}   (or end other programs)": "{command}   (또는 다른 프로그램을 끝내세요)",
}


def finding_in_words(lang: Lang, message: str) -> str:
    """What was found as the learner reads it; what no table has stays as it is."""
    return message if lang == "en" else turned(message, FINDINGS) or reworded(lang, message)


def mend_in_words(lang: Lang, mend: str) -> str:
    """What mends it as the learner reads it; a command stays as it is."""
    return mend if lang == "en" else turned(mend, MENDS) or reworded(lang, mend)
