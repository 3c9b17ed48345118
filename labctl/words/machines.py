"""What is said of virtual machines, in the learner's language: their room, their image, their libvirt.

Turned by labctl.words.lab (lines and reasons) and labctl.words.errors (errors, and what mends them).
"""

from __future__ import annotations

from typing import Final

# How a trial guest ended (labctl/vm/trial.py, labctl/vm/elsewhere.py).
TRIALS: Final[dict[str, str]] = {
    "a guest ran for {seconds} s and its kernel said nothing": (
        "가상 머신이 {seconds}초 동안 실행되었지만 커널이 아무것도 출력하지 않음"
    ),
    "a guest ran for {seconds} s and had not booted": "가상 머신이 {seconds}초 안에 부팅하지 못함",
    "a guest had not booted after {seconds} s; its last words: {said}": (
        "가상 머신이 {seconds}초 안에 부팅하지 못함. 마지막 출력: {said}"
    ),
    "a guest ended by itself": "가상 머신이 스스로 종료됨",
    "a guest ended by itself (exit code {rc})": "가상 머신이 스스로 종료됨(종료 코드 {rc})",
    "a guest ended by itself (exit code {rc}): {said}": "가상 머신이 스스로 종료됨(종료 코드 {rc}): {said}",
    "that libvirt says: {said}": "libvirt의 메시지: {said}",
}
# Why virtual machines are emulated (labctl/vm/accel.py).
EMULATED: Final[dict[str, str]] = {
    "there is no {device}": "{device} 없음",
    "{device} cannot be opened ({error})": "{device}을(를) 열 수 없음({error})",
    "{device} does not work here: {trial}": "{device}이(가) 여기서 동작하지 않음: {trial}",
}
# What virtual machines get where they cannot have all (labctl/vm/room.py).
DIFFERENCES: Final[dict[str, str]] = {
    "{names} get {got} instead of {wanted} MiB of memory": "{names}: {wanted} MiB 대신 {got} MiB",
    "{names} gets {got} instead of {wanted} MiB of memory": "{names}: {wanted} MiB 대신 {got} MiB",
}
_LESS_MEMORY: Final = (
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
# How machines run and what they get: `up` says it as it goes, the doctor as a finding.
GROUND: Final[dict[str, str]] = {
    "Guests run on {device} (a small one takes {seconds} s to begin).": (
        "가상 머신이 {device}(으)로 실행됩니다(작은 가상 머신의 시작에 {seconds}초)."
    ),
    "Guests are emulated, which is slow (a small one takes {seconds} s to begin): {emulated}.": (
        "가상 머신을 에뮬레이션하므로 느립니다(작은 가상 머신의 시작에 {seconds}초): {emulated}."
    ),
    _LESS_MEMORY[0]: _LESS_MEMORY[1],
    **_LESS_CPUS,
    **{f"{_LESS_MEMORY[0]} {line}": f"{_LESS_MEMORY[1]} {korean}" for line, korean in _LESS_CPUS.items()},
}
# What a file is that is no disk image (labctl/image/cloud_file.py).
FORMS: Final[dict[str, str]] = {
    "compressed by {program}": "{program}(으)로 압축된 파일",
    "a zip archive": "zip 압축 파일",
    "a VMware disk": "VMware 디스크",
    "a page or a text, so the download has failed": "웹 페이지나 텍스트 파일(다운로드가 실패함)",
}
# Why an image cannot be a node (images/vm/prepare/prepare).
UNFIT: Final[dict[str, str]] = {
    "{system} is neither Debian 12 nor CentOS Stream 9 or one of its kin": (
        "{system}은(는) Debian 12도, CentOS Stream 9 계열도 아님"
    ),
    "its family is {family}, not {wanted}": "배포판 계열이 {wanted}이(가) 아니라 {family}",
    "its root file system is {type}, and only ext4 and xfs are known": (
        "루트 파일 시스템이 {type}인데 ext4와 xfs만 쓸 수 있음"
    ),
    "its root file system has no UUID": "루트 파일 시스템에 UUID가 없음",
    "no kernel of it has all modules that a lab needs; those above are missing": (
        "랩에 필요한 모듈을 모두 갖춘 커널이 없음(위에 나온 모듈이 없음)"
    ),
}
ORIGINS: Final[dict[str, str]] = {"the image of its family": "배포판 계열의 이미지"}

# What errors say, and what mends them.
ERRORS: Final[dict[str, str]] = {
    # -- their room, and what runs them
    "This host cannot run virtual machines: it lacks {purposes}.": (
        "이 호스트에서는 가상 머신을 실행할 수 없습니다. 없는 것: {purposes}."
    ),
    "This Python ({version}) cannot load libvirt's binding.": (
        "이 Python({version})에서 libvirt 바인딩을 불러올 수 없습니다."
    ),
    "{python} -m pip install libvirt-python"
    "   (compiles it: needs gcc, pkg-config, the headers of this Python and libvirt's)": (
        "{python} -m pip install libvirt-python"
        "   (컴파일합니다. gcc, pkg-config, 이 Python과 libvirt의 헤더가 필요합니다)"
    ),
    "This host can spare {spare} of memory, and {count} virtual machines take at least {least}.": (
        "이 호스트가 줄 수 있는 메모리는 {spare}인데 가상 머신 {count}개에 적어도 {least}가 필요합니다."
    ),
    "It keeps {kept} of the {available} that programs can still get.": (
        "프로그램이 더 쓸 수 있는 {available} 중 {kept}는 호스트를 위해 남겨 둡니다."
    ),
    "{command}   (or end other programs)": "{command}   (또는 다른 프로그램을 끝내세요)",
    "This host can spare {spare} of memory now, and {names}, to be started, take {needed}.": (
        "이 호스트가 지금 줄 수 있는 메모리는 {spare}인데 {names}을(를) 시작하려면 {needed}가 필요합니다."
    ),
    "Lab {lab} has chosen the sizes of its machines when it was made.": (
        "{lab} 랩의 가상 머신 크기는 랩을 만들 때 정해졌습니다."
    ),
    "end other programs or labs (labctl ls), then call again; for smaller machines: {command}": (
        "다른 프로그램이나 랩(labctl ls)을 끝낸 뒤 다시 실행하세요. 더 작은 가상 머신으로 하려면: {command}"
    ),
    "{folder} has {free} of room, and {count} virtual machines may take {needed}.": (
        "{folder}에 남은 공간은 {free}인데 가상 머신 {count}개가 {needed}까지 쓸 수 있습니다."
    ),
    "free some room, or move the lab: {command}": "공간을 확보하거나 랩을 옮기세요: {command}",
    "This host has no QEMU.": "이 호스트에 QEMU가 없습니다.",
    "This host runs no virtual machine, not even an emulated one.": (
        "이 호스트에서는 에뮬레이션으로도 가상 머신을 실행할 수 없습니다."
    ),
    "KVM: {emulated}\nemulation: {trial}": "KVM: {emulated}\n에뮬레이션: {trial}",
    "see what it does: {command}": "무엇을 하고 있는지 보세요: {command}",
    # -- a distribution's cloud image (labctl/image/cloud_file.py, cloud.py, labctl/vm/first_boot.py)
    "There is no file {path}.": "{path} 파일이 없습니다.",
    "name the image that you have downloaded": "내려받은 이미지의 경로를 지정하세요",
    "{path} is not a file.": "{path}은(는) 파일이 아닙니다.",
    "name a disk image: {option}": "디스크 이미지를 지정하세요: {option}",
    "{path} cannot be read.": "{path}을(를) 읽을 수 없습니다.",
    "{path} is no disk image: it is {form}.": "{path}은(는) 디스크 이미지가 아닙니다: {form}.",
    "{path} is no disk image: neither qcow2 nor a raw disk with a partition table.": (
        "{path}은(는) 디스크 이미지가 아닙니다. qcow2도, 파티션 테이블이 있는 raw 디스크도 아닙니다."
    ),
    "download a cloud image for x86_64, for example {file}": (
        "x86_64용 클라우드 이미지를 내려받으세요. 예: {file}"
    ),
    "download it again": "다시 내려받으세요",
    "{path} lies upon another image, so it is not taken.": (
        "{path}은(는) 다른 이미지를 바탕으로 하므로 쓸 수 없습니다."
    ),
    "{path} keeps its data in another file, so it is not taken.": (
        "{path}은(는) 데이터를 다른 파일에 두므로 쓸 수 없습니다."
    ),
    "{path} is encrypted, so it is not taken.": "{path}은(는) 암호화되어 있어 쓸 수 없습니다.",
    "{path} is marked as damaged, so it is not taken.": (
        "{path}은(는) 손상된 것으로 표시되어 있어 쓸 수 없습니다."
    ),
    "use the image as the distribution gives it": "배포판이 제공하는 이미지를 그대로 쓰세요",
    "The disk in {path} has {size} MiB; a node's has {least} to {most}.": (
        "{path}의 디스크는 {size} MiB입니다. 노드의 디스크는 {least}~{most} MiB여야 합니다."
    ),
    "use the distribution's own cloud image": "배포판의 클라우드 이미지를 쓰세요",
    "{path} is not a qcow2 image.": "{path}은(는) qcow2 이미지가 아닙니다.",
    "{path} is a damaged qcow2 image.": "{path}은(는) 손상된 qcow2 이미지입니다.",
    "{path} is damaged; perhaps its download was cut short.": (
        "{path}이(가) 손상되었습니다. 다운로드가 중간에 끊겼을 수 있습니다."
    ),
    "download it again and compare its checksum with the distribution's": (
        "다시 내려받아 배포판이 제공하는 체크섬과 비교하세요"
    ),
    "{path} starts by EFI only, or is made for another processor; labctl starts x86_64 images by BIOS.": (
        "{path}은(는) EFI로만 부팅되거나 다른 프로세서용입니다. labctl은 x86_64 이미지를 BIOS로 부팅합니다."
    ),
    "use the distribution's image for x86_64 that starts by BIOS, too (most do)": (
        "BIOS로도 부팅되는 배포판의 x86_64 이미지를 쓰세요(대부분 그렇습니다)"
    ),
    "The image cannot be a node: {unfit}.": "이 이미지는 노드로 쓸 수 없습니다: {unfit}.",
    "use another image, or another --family": "다른 이미지를 쓰거나 --family를 바꾸세요",
    "No guest begins to run on /dev/kvm within {seconds} s.": (
        "{seconds}초 안에 /dev/kvm에서 가상 머신이 시작되지 않았습니다."
    ),
    "QEMU did not run the image ({kind}).": "QEMU가 이미지를 실행하지 못했습니다({kind}).",
    "The machine ended before it was prepared.": "가상 머신이 준비를 마치기 전에 종료되었습니다.",
    "The image was not prepared within {minutes} minutes.": "{minutes}분 안에 이미지를 준비하지 못했습니다.",
    "The image did not begin its preparation within {minutes} minutes.": (
        "{minutes}분 안에 이미지의 준비가 시작되지 않았습니다."
    ),
    "It wrote nothing to its serial port.": "시리얼 포트에 아무것도 출력하지 않았습니다.",
    "use a cloud image for x86_64 with cloud-init, as the distributions offer it": (
        "배포판이 제공하는, cloud-init이 있는 x86_64용 클라우드 이미지를 쓰세요"
    ),
    "The image's preparation failed.": "이미지의 준비에 실패했습니다.",
    "look at the lines above; is the distribution's mirror in reach?": (
        "위의 출력을 보세요. 배포판의 미러에 접속할 수 있나요?"
    ),
    "The image's preparation has left no kernel.": "이미지를 준비했지만 커널이 남지 않았습니다.",
    "The image's preparation tells nonsense.": "이미지의 준비 결과를 이해할 수 없습니다.",
    # -- the machines' disk (labctl/image/vm.py, disk.py)
    "The disk in {path} is not whole.": "{path}의 디스크가 온전하지 않습니다.",
    "The disk of the virtual machines needs {needed} GiB free below {folder}.": (
        "가상 머신의 디스크를 만들려면 {folder} 아래에 {needed} GiB의 공간이 필요합니다."
    ),
    "The layer {tag} could not be built upon {base}.": "{base} 위에 {tag} 레이어를 만들지 못했습니다.",
    "look at the last lines above; is the distribution's mirror in reach?": (
        "위의 마지막 출력을 보세요. 배포판의 미러에 접속할 수 있나요?"
    ),
    "The size of {folder} cannot be told.": "{folder}의 크기를 알 수 없습니다.",
}

# What stopped one way to prepare an image, said in one line before the next is tried (labctl/lab/cloud.py).
_ALONE: Final = (
    "QEMU did not run the image ({kind}).",
    "No guest begins to run on /dev/kvm within {seconds} s.",
    "This host has no QEMU.",
    "{path} starts by EFI only, or is made for another processor; labctl starts x86_64 images by BIOS.",
)
RELAYED: Final[dict[str, str]] = {
    **{line: ERRORS[line] for line in _ALONE},
    "The disk of the virtual machines needs {needed} GiB free below {folder}. {free} GiB are free.": (
        "가상 머신의 디스크를 만들려면 {folder} 아래에 {needed} GiB의 공간이 필요한데"
        " 남은 공간은 {free} GiB입니다."
    ),
    "QEMU did not run the image ({kind}). {said}": "QEMU가 이미지를 실행하지 못했습니다({kind}). {said}",
}
