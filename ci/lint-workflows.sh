#!/usr/bin/env bash
# Lints the workflows, without a network: actionlint for syntax, labels, matrix and expressions,
# zizmor for security. What neither sees, that each `run:` names a script, is in the tidy test.
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
