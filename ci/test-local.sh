#!/usr/bin/env bash
# The workflow's jobs lint (without the wheel), unit and lab on this machine, in its Python:
# ci/test-local.sh [centos|debian|auto].  For the job vm there is ci/test-machines.sh.
# Reports (JUnit, and the lab's logs after a failure) go to reports/.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

family=${1:-auto}
lab=ci-local
mkdir -p reports

say() { printf 'ci: %s\n' "$*"; }

ended() {
    code=$?
    if [ "$code" -ne 0 ]; then
        say "failed ($code); reports/ gets what doctor, ls, validate and logs say"
        ./lab doctor --json >reports/doctor.json || true
        ./lab ls --json >reports/ls.json || true
        ./lab validate --lab "$lab" --json >reports/validate.json || true
        ./lab logs --lab "$lab" --lines 1000 >reports/lab.log 2>&1 || true
    fi
    say "./lab down --lab $lab"
    ./lab down --lab "$lab" || true
    exit "$code"
}
trap ended EXIT

if command -v shellcheck >/dev/null; then
    say "shellcheck"
    ci/shellcheck.sh
else
    say "no shellcheck here: shell scripts are not checked"
fi
say "./lab up --lab $lab --family $family"
./lab up --lab "$lab" --family "$family"
say "./lab validate --lab $lab --junit reports/validate.xml"
./lab validate --lab "$lab" --junit reports/validate.xml
say "./lab exec node1 --lab $lab -- pcs stonith fence node2.example.com"
./lab exec node1 --lab "$lab" -- pcs stonith fence node2.example.com
say "./lab test"
LABCTL_FAMILY=$family ./lab test --junitxml=reports/junit.xml
