"""What errors and silent nodes say, in the learner's language.

They are raised in English, mostly where nobody knows the learner; what a learner sees of them is turned
here, line by line, as the lab's own lines are (labctl.words.lab). What podman, libvirt or a
program in a node says stays as it is. tests/unit/test_words_errors.py holds the tables to the source.
"""

from __future__ import annotations

from typing import Final

from labctl.errors import LabError
from labctl.words import lab_errors
from labctl.words.engine_errors import EXPLAINED, PROGRAMS, SPOILT
from labctl.words.lab import LACKS, turned
from labctl.words.lang import Lang

# What errors say (the lab: labctl.words.lab_errors): messages, and details and mends that are prose.
ERRORS: Final[dict[str, str]] = {
    **lab_errors.ERRORS,
    # -- labctl.course
    "There is no exercise {word} (did you mean {near}?).": "{word} 실습이 없습니다. 혹시 {near}인가요?",
    "There is no exercise {word}.": "{word} 실습이 없습니다.",
    "There are: {names}": "다음 중에서 고르세요: {names}",
    "There is no guide for {day} (did you mean {near}?).": "{day} 안내서가 없습니다. 혹시 {near}인가요?",
    "There is no guide for {day}.": "{day} 안내서가 없습니다.",
    "There is no folder {path}.": "{path} 폴더가 없습니다.",
    "There is no file or folder {path}.": "{path} 파일이나 폴더가 없습니다.",
    "The course has a mistake: {names}": "실습 파일에 오류가 있습니다: {names}",
    "The course has {count} mistakes: {names}": "실습 파일에 오류가 {count}개 있습니다: {names}",
    "correct the lines above; labctl exercise lint FILE tells what is left": (
        "위의 줄을 고치세요. 남은 오류는 labctl exercise lint FILE로 볼 수 있습니다"
    ),
    "A step failed on {node} (exit code {rc}).": "{node}에서 단계를 실행하지 못했습니다(종료 코드 {rc}).",
    "A step on the host failed.": "호스트에서 단계를 실행하지 못했습니다.",
    "The record of your progress, {path}, was written by a newer labctl.": (
        "진행 기록 {path}은(는) 더 새로운 labctl이 쓴 것입니다."
    ),
    "use that labctl, or put the file away: {command}": (
        "그 labctl을 쓰거나 파일을 다른 곳으로 옮기세요: {command}"
    ),
    "{path} is no export of labctl progress: {reason}": (
        "{path}은(는) labctl progress로 내보낸 파일이 아닙니다: {reason}"
    ),
    "Waited {seconds} s for {node} to come back, in vain.": (
        "{node}이(가) 돌아오기를 {seconds}초 동안 기다렸지만 돌아오지 않았습니다."
    ),
    # -- the course's commands
    "There is no language {lang}.": "{lang} 언어는 없습니다.",
    "--lang {one}, or --lang {other}": "--lang {one} 또는 --lang {other}",
    "labctl progress {words} or report DIR": "labctl progress {words} 또는 report DIR",
    "No exercise is under way in lab {lab}.": "{lab} 랩에서 진행 중인 실습이 없습니다.",
    "{command}   (or exercise list)": "{command}   (또는 exercise list)",
    "One exercise at a time.": "실습은 한 번에 하나만 할 수 있습니다.",
    "{day} has no exercises yet.": "{day}에는 아직 실습이 없습니다.",
    "progress {words}: what is that?": "progress {words}: 알 수 없는 명령입니다.",
    "check --watch does not go with {option}: it shows how the points change until all is right.": (
        "check --watch는 {option}과(와) 함께 쓸 수 없습니다. 모두 맞을 때까지 변화를 보여 주는 옵션입니다."
    ),
    # -- what every command may say
    "There is no lab {lab}.": "{lab} 랩이 없습니다.",
    "{command}   (labctl ls shows the labs)": "{command}   (labctl ls로 랩 목록을 볼 수 있습니다)",
    "Lab {lab} does not run.": "{lab} 랩이 실행되고 있지 않습니다.",
    "labctl {what} needs root: it makes namespaces, mounts and containers.": (
        "labctl {what}에는 root 권한이 필요합니다. 네임스페이스, 마운트, 컨테이너를 만들기 때문입니다."
    ),
    "{command}   (or {short}, which asks for it)": "{command}   (또는 권한을 알아서 요청하는 {short})",
    "Lab {lab} is held by {holder}.": "{lab} 랩은 {holder}이(가) 사용하고 있습니다.",
    "wait for it to end, or call again with --wait SECONDS": (
        "끝날 때까지 기다리거나 --wait SECONDS를 붙여 다시 실행하세요"
    ),
    "{name} is not a lab's name.": "{name}은(는) 랩 이름으로 쓸 수 없습니다.",
    "Lower-case letters, digits and dashes, a letter first, 31 at most.": (
        "영문 소문자로 시작하고 소문자, 숫자, 하이픈으로 된 31자 이하의 이름을 쓰세요."
    ),
    "{name} cannot be a lab's name.": "{name}은(는) 랩 이름으로 쓸 수 없습니다.",
    "A name is 1 to 31 small letters, digits and hyphens, and begins with a letter.": (
        "영문 소문자로 시작하고 소문자, 숫자, 하이픈으로 된 31자 이하의 이름을 쓰세요."
    ),
    "There is no node {name} (did you mean {near}?).": "{name} 노드가 없습니다. 혹시 {near}인가요?",
    "There is no node {name}.": "{name} 노드가 없습니다.",
    "There is no network {name} (did you mean {near}?).": "{name} 네트워크가 없습니다. 혹시 {near}인가요?",
    "There is no network {name}.": "{name} 네트워크가 없습니다.",
    "There is no room left on the disk.": "디스크에 남은 공간이 없습니다.",
    "There is no room left on the disk ({path}).": "디스크에 남은 공간이 없습니다({path}).",
    "{command}, free some room, or {other}": "{command}, 공간 확보, 또는 {other}",
    "The file system is read-only.": "파일 시스템이 읽기 전용입니다.",
    "The file system is read-only ({path}).": "파일 시스템이 읽기 전용입니다({path}).",
    "Permission denied.": "권한이 없습니다.",
    "Permission denied ({path}).": "권한이 없습니다({path}).",
    "Operation not permitted.": "허용되지 않은 작업입니다.",
    "Operation not permitted ({path}).": "허용되지 않은 작업입니다({path}).",
    "{command}   (or {words})": "{command}   (또는 {words})",
    "{command}   or: {words}": "{command}   또는: {words}",
    "{command}   or one command: {words}": "{command}   또는 명령 하나만: {words}",
    # -- the command line (typer)
    "No such command {name}.": "{name} 명령은 없습니다.",
    "No such command {name}. Did you mean {near}?": "{name} 명령은 없습니다. 혹시 {near}인가요?",
    "No such option: {name}": "{name} 옵션은 없습니다.",
    "No such option: {name} Did you mean {near}?": "{name} 옵션은 없습니다. 혹시 {near}인가요?",
    "No such option: {name} (Possible options: {near})": "{name} 옵션은 없습니다. 혹시 {near}인가요?",
    "Missing argument '{name}'.": "{name}이(가) 필요합니다.",
    "Missing command.": "명령이 필요합니다.",
    "Option {name} requires an argument.": "{name} 옵션에는 값이 필요합니다.",
    "Option {name} does not take a value.": "{name} 옵션에는 값을 줄 수 없습니다.",
    "Got unexpected extra argument(s) ({words})": "남는 인자가 있습니다: {words}",
    "Invalid value for {name}: {invalid}": "{name}의 값이 올바르지 않습니다: {invalid}",
}
# Why nothing is known of a node (labctl/probe/gather.py), and why a port did not answer
# (labctl/course/knock.py; what the sockets of Python say).
REASONS: Final[dict[str, str]] = {
    "there is no such machine": "그런 서버가 없습니다",
    "it is switched off": "전원이 꺼져 있습니다",
    "it is frozen: every process stands still": "멈춰 있습니다(모든 프로세스가 정지 상태)",
    "it does not answer: {why}": "응답이 없습니다: {why}",
    "the probe did not end well (exit code {rc}): {said}": (
        "상태를 읽는 프로그램이 실패했습니다(종료 코드 {rc}): {said}"
    ),
    "the probe did not end well within {seconds} s (exit code {rc}): {said}": (
        "상태를 읽는 프로그램이 {seconds}초 안에 끝나지 않았습니다(종료 코드 {rc}): {said}"
    ),
    "the probe's answer makes no sense: {error}": (
        "상태를 읽는 프로그램의 출력을 이해할 수 없습니다: {error}"
    ),
    "no answer within {seconds} s": "{seconds}초 안에 응답이 없습니다",
    "timed out": "응답 시간 초과",
    "[Errno {number}] Connection refused": "연결이 거부됨, errno {number}",
    "[Errno {number}] No route to host": "호스트로 가는 경로가 없음, errno {number}",
    "[Errno {number}] Network is unreachable": "네트워크에 연결할 수 없음, errno {number}",
}
# What may stand as a line among others in an error's details: another error, or one of several reasons.
# Not what is so short that a program may say it, too.
LISTED: Final[dict[str, str]] = {
    **{english: korean for english, korean in ERRORS.items() if english.endswith(".")},
    **LACKS,
    **EXPLAINED,
    **SPOILT,
}
for _short in (*PROGRAMS, "Permission denied.", "Operation not permitted."):
    del LISTED[_short]
_MEND: Final = "Mend: "  # as str() of an error has it


def reworded(lang: Lang, words: str) -> str:
    """An error's or a silent node's words as the learner reads them; as they are, when no table has them."""
    return words if lang == "en" else turned(words, REASONS) or turned(words, ERRORS) or words


def reword(error: LabError, lang: Lang) -> None:
    """Put an error's words into the learner's language."""
    error.message, error.mend = reworded(lang, error.message), reworded(lang, error.mend)
    if lang != "en":
        whole = turned(error.details, REASONS) or turned(error.details, ERRORS)
        error.details = whole or "\n".join(map(_listed, error.details.split("\n")))


def _listed(line: str) -> str:
    if line.startswith(_MEND):
        return f"해결: {reworded('ko', line.removeprefix(_MEND))}"
    return turned(line, LISTED) or line
