#!/usr/bin/env bash
# Finds misspelt words in sources and documents.
#
# Usage:  ci/spelling.sh [--write-changes]
# Needs:  typos (ci/setup.sh lint).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/tools/bin
typos --config ci/typos.toml "$@"
