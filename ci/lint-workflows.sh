#!/usr/bin/env bash
# Lints the workflows without a network: actionlint checks syntax, labels, matrix and expressions,
# zizmor checks security. The tidy test checks that each `run:` calls a script.
#
# Usage:  ci/lint-workflows.sh
# Needs:  actionlint and zizmor (ci/setup.sh lint).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/tools/bin
status=0
actionlint -oneline .github/workflows/*.yml || status=1
zizmor --offline --no-progress --color=never .github || status=1
exit "$status"
