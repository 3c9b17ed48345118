#!/usr/bin/env bash
# The long tests on virtual machines: what every engine promises, asked of libvirt, and the contract of
# every exercise that needs a kernel of its own.  ci/test-machines.sh [PYTEST OPTION …]
# LABCTL_TEST_MACHINES=all adds the exercises that work in containers, too (-k picks from them).
# Emulated, some hours; with KVM perhaps a quarter of an hour, which nobody has measured.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
mkdir -p reports

LABCTL_TEST_MACHINES="${LABCTL_TEST_MACHINES:-1}" exec ./lab test \
    tests/lab/test_engine_contract.py tests/lab/test_course_machines.py tests/lab/test_vm.py tests/lab/test_mixed.py \
    tests/lab/test_vm_image.py tests/lab/test_vm_boot.py \
    tests/lab/test_libvirt_uri.py tests/lab/test_libvirt_remote.py \
    -k "libvirt or test_the_contract or test_vm or test_mixed" --junitxml=reports/machines.xml "$@"
