"""What the programs of labctl/host/packages.txt are for, in the learner's language."""

from __future__ import annotations

from typing import Final

PURPOSES: Final[dict[str, str]] = {
    "Python 3.11 or newer with venv": "venv가 있는 Python 3.11 이상",
    "runs the containers": "컨테이너 실행",
    "starts a container's processes": "컨테이너의 프로세스 시작",
    "watches over a container": "컨테이너 감시",
    "the lab's networks": "랩의 네트워크",
    "names on the lab's networks": "랩 네트워크의 이름",
    "the lab's way to the outside": "랩의 외부 접속",
    "address translation inside the lab": "랩 안의 주소 변환",
    "the lab's links": "랩의 링크",
    "the lab's own namespaces": "랩의 네임스페이스",
    "entering a running lab": "실행 중인 랩에 들어가기",
    "the lab's own mounts": "랩의 마운트",
    "files into and out of nodes": "노드와 파일 주고받기",
    "labctl ssh": "labctl ssh 명령",
    "makes the Debian base from packages": "패키지로 Debian 기본 이미지 만들기",
    "proves Debian's packages": "Debian 패키지 검증",
    "runs a virtual machine": "가상 머신 실행",
    "the virtual machines' disks": "가상 머신의 디스크",
    "keeps the lab's virtual machines": "랩의 가상 머신 관리",
    "libvirt's part for QEMU": "libvirt의 QEMU 드라이버",
    "libvirt's Python binding": "libvirt의 Python 바인딩",
    "labctl virsh": "labctl virsh 명령",
    "talks to the nodes' BMCs": "노드의 BMC와 통신",
    "fences through the nodes' BMCs": "노드의 BMC로 펜싱",
}
