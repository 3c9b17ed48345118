#!/usr/bin/env bash
# Looks at every shell script of the project: those that say so in their first line, and the parts
# that others read in. Needs shellcheck.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

grep -rlIE '^#!.*\b(ba)?sh$' lab .ci ci images | xargs -d '\n' shellcheck
shellcheck --shell=sh images/*/family.sh images/*/finish.sh images/vm/*/prepare.sh labctl/words/launcher.sh
