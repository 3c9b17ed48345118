# What ./lab says, in Korean: read in by it when that is the language. tests/unit/test_launcher_words.py
# holds it to the launcher's lines.
# shellcheck shell=sh

in_words() { # a line in English: the same in Korean; as it is, when it is a command
    case $1 in
        "Mend: "*) printf '%s\n' "해결: $(in_words "${1#Mend: }")" ;;
        *" is not a whole clone: labctl/host/packages.txt is missing.")
            printf '%s\n' "${1%% is not a whole clone: *}은(는) 온전한 클론이 아닙니다. labctl/host/packages.txt가 없습니다." ;;
        # -- becoming root
        "a lab needs root: going on by "*)
            by=${1#a lab needs root: going on by }
            printf '%s\n' "랩에는 root 권한이 필요합니다. ${by%.}(으)로 계속합니다." ;;
        "this needs root, and there is no sudo, doas or pkexec here.")
            printf '%s\n' "root 권한이 필요한데 sudo, doas, pkexec가 없습니다." ;;
        "log in as root (su -) and run "*" again.")
            again=${1#log in as root (su -) and run }
            printf '%s\n' "root로 로그인하여(su -) 다시 실행하세요: ${again% again.}" ;;
        # -- host packages
        "apt-get update failed; going on with the lists that are here.")
            printf '%s\n' "apt-get update가 실패했습니다. 지금 있는 패키지 목록으로 계속합니다." ;;
        "this host lacks:"*) printf '%s\n' "이 호스트에 없는 것:${1#this host lacks:}" ;;
        "install these programs with this distribution's package manager")
            printf '%s\n' "이 배포판의 패키지 관리자로 이 프로그램들을 설치하세요" ;;
        "LABCTL_NO_INSTALL is set: not installing.")
            printf '%s\n' "LABCTL_NO_INSTALL이 설정되어 있어 설치하지 않습니다." ;;
        "the package manager could not install all of: "*)
            printf '%s\n' "패키지 관리자가 일부를 설치하지 못했습니다: ${1#the package manager could not install all of: }" ;;
        "still missing:"*) printf '%s\n' "아직 없는 것:${1#still missing:}" ;;
        "going on without:"*) printf '%s\n' "다음 프로그램 없이 계속합니다:${1#going on without:}" ;;
        # -- Python
        "there is no Python 3.11 or newer with venv and ensurepip here.")
            printf '%s\n' "venv와 ensurepip이 있는 Python 3.11 이상이 여기에 없습니다." ;;
        "install Python 3.11 or newer with venv, or unset LABCTL_NO_INSTALL.")
            printf '%s\n' "venv가 있는 Python 3.11 이상을 설치하거나 LABCTL_NO_INSTALL을 해제하세요." ;;
        "run a command that becomes root, such as: "*)
            printf '%s\n' "root 권한을 요청하는 명령을 실행하세요. 예: ${1#run a command that becomes root, such as: }" ;;
        "this distribution offers no Python 3.11 or newer that ./lab knows of.")
            printf '%s\n' "이 배포판에 ./lab이 아는 Python 3.11 이상이 없습니다." ;;
        "install one and name it: "*) printf '%s\n' "설치한 뒤 경로를 지정하세요: ${1#install one and name it: }" ;;
        # -- its virtual environment
        "flock is missing.") printf '%s\n' "flock이 없습니다." ;;
        "install util-linux.") printf '%s\n' "util-linux를 설치하세요." ;;
        "another ./lab is making "*"; waiting for it.")
            other=${1#another ./lab is making }
            printf '%s\n' "다른 ./lab이 ${other%; waiting for it.}을(를) 만들고 있어 기다리는 중입니다." ;;
        "another ./lab has been making "*" for 15 minutes.")
            other=${1#another ./lab has been making }
            printf '%s\n' "다른 ./lab이 15분째 ${other% for 15 minutes.}을(를) 만들고 있습니다." ;;
        "see what it does: "*) printf '%s\n' "무엇을 하고 있는지 보세요: ${1#see what it does: }" ;;
        *" is no virtual environment, and not empty.")
            printf '%s\n' "${1% is no virtual environment, and not empty.}은(는) 가상 환경이 아니고 비어 있지도 않습니다." ;;
        "set LABCTL_VENV to another folder.") printf '%s\n' "LABCTL_VENV를 다른 폴더로 지정하세요." ;;
        *" is half-made or broken: making it anew.")
            printf '%s\n' "${1% is half-made or broken: making it anew.}이(가) 덜 만들어졌거나 손상되어 새로 만듭니다." ;;
        "making "*" with "*)
            made=${1#making }
            printf '%s\n' "${made##* with }(으)로 ${made% with *}을(를) 만드는 중입니다" ;;
        "Python could not make "*)
            made=${1#Python could not make }
            printf '%s\n' "Python이 ${made%.}을(를) 만들지 못했습니다." ;;
        "see above; then run "*" again.")
            again=${1#see above; then run }
            printf '%s\n' "위의 출력을 본 뒤 다시 실행하세요: ${again% again.}" ;;
        "installing labctl "*" by pip (fetches what is not there)")
            made=${1#installing labctl *into }
            case $1 in *" with what its tests need into "*) what="labctl과 테스트에 필요한 것" ;; *) what=labctl ;; esac
            printf '%s\n' "${what}을(를) pip으로 ${made% by pip *}에 설치하는 중입니다(없는 것은 내려받습니다)" ;;
        "pip could not install labctl's parts (its reason stands above).")
            printf '%s\n' "pip이 labctl에 필요한 것을 설치하지 못했습니다(이유는 위에 있습니다)." ;;
        "Without a network: point PIP_INDEX_URL or PIP_FIND_LINKS at "*)
            printf '%s\n' "네트워크가 없으면 PIP_INDEX_URL이나 PIP_FIND_LINKS를 미러나 wheel 폴더로 지정하고, 프록시를 쓰면 HTTPS_PROXY를 설정하세요." ;;
        # -- ./lab test
        "ruff or mypy found something; see above.") printf '%s\n' "ruff나 mypy가 문제를 찾았습니다. 위의 출력을 보세요." ;;
        *) printf '%s\n' "$1" ;;
    esac
}

purpose() { # what a program is for, as labctl's own table of them has it
    # shellcheck disable=SC2154 # the launcher's
    korean=$(sed -n "s|^    \"$1\": \"\(.*\)\",\$|\1|p" "$root/labctl/words/packages.py" 2>/dev/null) || :
    printf '%s\n' "${korean:-$1}"
}
