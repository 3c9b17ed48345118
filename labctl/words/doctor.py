"""What `labctl doctor` finds and what mends it, in the learner's language.

Those who look speak English, as the JSON does; what a terminal shows of a finding is turned here.
tests/unit/test_words_doctor.py reads their source and holds the tables to it.
"""

from __future__ import annotations

from typing import Final

from labctl.words.errors import reworded
from labctl.words.lab import around, turned
from labctl.words.lang import Lang
from labctl.words.machines import GROUND
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

# What is found, {…} for what changes in it; the same in Korean. What stops `up`, too, is with the errors.
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
    "{emulated}: virtual machines are emulated": "{emulated}: 가상 머신을 에뮬레이션합니다",
    "{device} opens; the first VM tries it": "{device}을(를) 열 수 있습니다. 첫 가상 머신이 시험합니다",
    **GROUND,
    "{count} virtual machines have room for what they want": (
        "가상 머신 {count}개를 원하는 크기로 실행할 공간이 있습니다"
    ),
}
_PRIVILEGED = "컨테이너 안이라면 그 컨테이너를 privileged로 실행하세요"
# What mends it, where that is not a command alone, and errors do not say it.
MENDS: Final[dict[str, str]] = {
    "run it by sudo": "sudo로 실행하세요",
    "inside a container: run that one privileged": _PRIVILEGED,
    "./lab doctor installs one": "./lab doctor가 설치해 줍니다",
    "podman --version tells more": "podman --version으로 자세히 볼 수 있습니다",
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
    "end other programs, or use --nodes 2": "다른 프로그램을 끝내거나 --nodes 2를 쓰세요",
    "raise the hard limit: ulimit -Hn {limit} (limits.conf(5))": (
        "hard limit을 올리세요: ulimit -Hn {limit} (limits.conf(5))"
    ),
    "with many nodes: {command}": "노드가 많으면: {command}",
}


def finding_in_words(lang: Lang, message: str) -> str:
    """What was found as the learner reads it; what no table has stays as it is."""
    return message if lang == "en" else turned(message, FINDINGS) or reworded(lang, message)


def mend_in_words(lang: Lang, mend: str) -> str:
    """What mends it as the learner reads it; a command stays as it is."""
    return mend if lang == "en" else turned(mend, MENDS) or reworded(lang, mend)
