"""The help of commands and options in Korean; the English stands with the commands themselves."""

from __future__ import annotations

from typing import Final

from labctl.words.lang import Lang

HELP: Final[dict[str, str]] = {
    "A real high-availability cluster lab from one command.": "명령 하나로 만드는 진짜 고가용성 클러스터 랩.",
    # -- options that many commands have
    "Which lab.": "대상 랩.",
    "The result as JSON on standard output.": "결과를 표준 출력에 JSON으로 씁니다.",
    "Another lab description than the built-in one.": "기본 파일 대신 쓸 랩 설명 파일.",
    "Wait that long for another labctl that holds the lab.": (
        "다른 labctl이 랩을 쓰고 있으면 그만큼 기다립니다."
    ),
    "en or ko; else the last one, else the locale's.": (
        "en 또는 ko. 없으면 마지막에 고른 언어, 그다음은 로캘."
    ),
    "A folder with more exercises.": "추가 실습이 있는 폴더.",
    "node1, node2, …": "node1, node2, …",
    "auto, centos or debian.": "auto, centos 또는 debian.",
    "Show this message and exit.": "이 도움말을 보여 줍니다.",
    "Show the version.": "버전을 보여 줍니다.",
    "Show tracebacks and every command that is run.": "트레이스백과 실행하는 명령을 모두 보여 줍니다.",
    "Install completion for the current shell.": "현재 셸에 자동 완성을 설치합니다.",
    "Show completion for the current shell, to copy it or customize the installation.": (
        "현재 셸의 자동 완성 스크립트를 보여 줍니다."
    ),
    # -- up, down
    "Build what is missing, start the nodes, form the cluster. Again and again: it heals.": (
        "없는 것을 만들고 노드를 켜고 클러스터를 구성합니다. 다시 실행하면 고장 난 것을 고칩니다."
    ),
    "A file of changes on top, by Compose's rules.": "Compose 규칙으로 덧붙일 변경 파일.",
    "How many nodes, 2 to 16.": "노드 수(2~16).",
    "A named change of the lab: two-node, …": "이름이 있는 랩 변형: two-node, …",
    "Who serves the shared disks: auto, lio, userspace or none.": (
        "공유 디스크를 제공하는 방식: auto, lio, userspace 또는 none."
    ),
    "container or vm; without it, as the lab's file says.": (
        "container 또는 vm. 없으면 랩의 설명 파일을 따릅니다."
    ),
    "Make the virtual machines of this cloud image (qcow2 or raw) of a distribution.": (
        "배포판의 클라우드 이미지(qcow2 또는 raw)로 가상 머신을 만듭니다."
    ),
    "Make the virtual machines in this libvirt: qemu:///system, qemu+ssh://USER@HOST/system.": (
        "가상 머신을 이 libvirt에 만듭니다: qemu:///system, qemu+ssh://USER@HOST/system"
    ),
    "Stop early, to do the rest by hand.": "그 단계까지만 진행합니다. 나머지는 직접 합니다.",
    "all; while an exercise is under way, its start": "all. 실습이 진행 중이면 그 실습의 시작 상태",
    "Only say what would be done.": "할 일을 보여 주기만 합니다.",
    "Keep a lab whose start failed, to look at.": "시작하지 못한 랩을 조사할 수 있게 남겨 둡니다.",
    "Keep a new lab's state, for a fast way back.": "새 랩의 상태를 보관해 빨리 되돌릴 수 있게 합니다.",
    "Remove the lab: its processes, mounts, networks, files and snapshots. The node image stays.": (
        "랩을 삭제합니다: 프로세스, 마운트, 네트워크, 파일, 스냅샷. 노드 이미지는 남습니다."
    ),
    "Every lab of this host.": "이 호스트의 모든 랩.",
    "Only switch off; disks and snapshots stay, and `labctl up` carries on.": (
        "끄기만 합니다. 디스크와 스냅샷은 남고 `labctl up`으로 이어서 씁니다."
    ),
    # -- status, ls, validate
    "What runs: nodes, cluster, fencing, resources, shared disks.": (
        "현재 상태: 노드, 클러스터, 펜싱, 리소스, 공유 디스크."
    ),
    "Go on showing it; Ctrl-C ends.": "계속 보여 줍니다. 끝내려면 Ctrl-C.",
    "All labs on this host.": "이 호스트의 모든 랩.",
    "Prove that the lab works: nodes, names, time, networks, cluster, fencing, shared disks.": (
        "랩이 제대로 동작하는지 확인합니다: 노드, 이름, 시간, 네트워크, 클러스터, 펜싱, 공유 디스크."
    ),
    "A line for every node, not only where they differ.": "노드마다 한 줄씩 보여 줍니다.",
    "Also write the results as JUnit XML.": "결과를 JUnit XML로도 씁니다.",
    # -- into a lab
    "Run a command as root in a node, a shell when none is given; its exit code is ours.\n\n"
    "In a virtual machine by ssh; where that does not answer, by its guest agent.": (
        "노드에서 root로 명령을 실행합니다. 명령이 없으면 셸을 엽니다. 종료 코드는 그 명령의 것입니다.\n\n"
        "가상 머신에는 ssh로, ssh가 응답하지 않으면 게스트 에이전트로 접속합니다."
    ),
    "Log in to a node over ssh, as root, with the lab's own key.": (
        "랩의 키로 노드에 root로 ssh 로그인합니다."
    ),
    "A node's journal; of a node that is off, its console. Without a node: all, and the lab's own.": (
        "노드의 저널. 꺼진 노드는 콘솔을 보여 줍니다. 노드를 쓰지 않으면 모든 노드와 랩의 로그."
    ),
    "One node, or the target; without it, all nodes.": "노드 하나 또는 target. 없으면 모든 노드.",
    "Go on; Ctrl-C ends. One node only.": "계속 보여 줍니다. 끝내려면 Ctrl-C. 노드 하나만 됩니다.",
    "How many of the last lines.": "마지막 몇 줄을 볼지.",
    "Only this systemd unit.": "이 systemd 유닛만.",
    "Copy files between the host and a node, or between nodes.": (
        "호스트와 노드 사이, 또는 노드 사이에서 파일을 복사합니다."
    ),
    "A path, or NODE:PATH.": "경로 또는 NODE:PATH.",
    "The lab's own podman, with whatever arguments: labctl podman -- ps -a.": (
        "랩의 podman을 임의의 인자로 실행합니다: labctl podman -- ps -a."
    ),
    "A virtual machine's serial console: works without network or ssh. Ctrl-] leaves it.": (
        "가상 머신의 시리얼 콘솔. 네트워크와 ssh 없이도 됩니다. 나갈 때는 Ctrl-]."
    ),
    "The libvirt of the lab's machines, with whatever arguments: labctl virsh -- list --all.\n\n"
    "A word that is a machine's name means that machine, also where libvirt calls it labctl-LAB-NAME.": (
        "랩의 가상 머신이 있는 libvirt를 임의의 인자로 실행합니다: labctl virsh -- list --all.\n\n"
        "머신 이름과 같은 단어는 그 머신을 뜻합니다. libvirt에서 이름이 labctl-LAB-NAME이어도 같습니다."
    ),
    "Make an address of the lab reachable at 127.0.0.1, until Ctrl-C.": (
        "랩의 주소를 127.0.0.1에서 접속할 수 있게 합니다. 끝내려면 Ctrl-C."
    ),
    "A node, a VIP, any address.": "노드, VIP 또는 임의의 주소.",
    # -- the host
    "Can this host run a lab, what is missing, and the command that mends it.": (
        "이 호스트에서 랩을 실행할 수 있는지, 무엇이 없는지, 어떤 명령으로 해결하는지 보여 줍니다."
    ),
    "Install what is missing.": "없는 것을 설치합니다.",
    "Build the node image, when its inputs changed; --json tells the package versions inside.": (
        "바뀐 것이 있으면 노드 이미지를 만듭니다. --json은 패키지 버전을 보여 줍니다."
    ),
    "Even when nothing changed.": "바뀐 것이 없어도 만듭니다.",
    "The JSON Schema of a lab's description, for editors.": "랩 설명 파일의 JSON 스키마(편집기용).",
    "Print the completion script of a shell: source <(labctl completion bash).": (
        "셸의 자동 완성 스크립트를 출력합니다: source <(labctl completion bash)."
    ),
    "bash, zsh, fish or powershell.": "bash, zsh, fish 또는 powershell.",
    # -- the course
    "The days with their exercises; or begin one: the lab is put to its start, the task is printed.": (
        "실습 목록을 보거나 실습을 시작합니다. 랩을 시작 상태로 만들고 할 일을 보여 줍니다."
    ),
    "Without a word: the list.": "쓰지 않으면 목록.",
    "From its start again, whatever the lab is in.": "랩의 상태와 관계없이 처음부터 다시 시작합니다.",
    "One more hint for the exercise that is under way.": "진행 중인 실습의 다음 힌트.",
    "Run the reference solution of the exercise that is under way, each command with its reason.": (
        "진행 중인 실습의 모범 답안을 명령마다 이유와 함께 실행합니다."
    ),
    "Clear away what the exercise that is under way has left; the lab is at its start again.": (
        "진행 중인 실습을 정리하고 랩을 시작 상태로 되돌립니다."
    ),
    "A day's background in a few pages, in the order of the slides.": (
        "그 날의 배경 지식을 슬라이드 순서대로 보여 줍니다."
    ),
    "day1, day2, …; or errata, the slips of the slides.": "day1, day2, …, 또는 errata(슬라이드의 정오표).",
    "Grade what is there now: what is right, what is missing, where to look.": (
        "지금 상태를 채점합니다: 맞은 것, 빠진 것, 살펴볼 곳."
    ),
    "Grade again and again until all is right.": "모두 맞을 때까지 계속 채점합니다.",
    "Every exercise of the course, by the record.": "진행 기록에 따라 모든 실습을 보여 줍니다.",
    "Leave out proofs, such as a reboot.": "재부팅 같은 증명을 뺍니다.",
    "Also write JUnit XML.": "JUnit XML로도 씁니다.",
    "The record of what was done; export it as JSON; or one table of a class's exports.": (
        "진행 기록을 보거나 JSON으로 내보내거나, 한 반의 기록을 표로 모읍니다."
    ),
    "Without a word: show.": "쓰지 않으면 show.",
    "The name that an export bears.": "내보내는 기록에 쓸 이름.",
    # -- snapshot
    "Keep a lab as it is now, and bring it back.": "랩을 지금 상태로 보관하고 되돌립니다.",
    "Keep the lab as it is: nodes, cluster, disks. It runs on; for a moment it stands still.": (
        "랩을 그대로 보관합니다: 노드, 클러스터, 디스크. 랩은 잠시 멈췄다가 계속 동작합니다."
    ),
    "The snapshot.": "스냅샷.",
    "A word for the list.": "목록에 보일 메모.",
    "The lab's snapshots, the newest first.": "랩의 스냅샷을 새것부터 보여 줍니다.",
    "Bring the lab back to a snapshot and start it. What it is now is lost.": (
        "랩을 스냅샷으로 되돌리고 시작합니다. 지금 상태는 사라집니다."
    ),
    "Remove snapshots.": "스냅샷을 삭제합니다.",
}


def helped(lang: Lang, words: str) -> str:
    """A command's or an option's help in the language; as it is, when there is no Korean for it."""
    return words if lang == "en" else HELP.get(words, words)
