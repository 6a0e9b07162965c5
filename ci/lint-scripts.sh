#!/usr/bin/env bash
# Runs shellcheck on every script of the repository.
#
# Usage:  ci/lint-scripts.sh
# Needs:  shellcheck (ci/setup.sh lint).
set -euo pipefail
cd "$(dirname "$0")/.."
shellcheck --external-sources .ci/run ci/nightly ci/*.sh ci/kernels-init
