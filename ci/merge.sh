#!/usr/bin/env bash
# Merges the result files of the OS matrix into one page. A cell without a file is shown as
# "no result". Ends with the status of the worst cell; a missing cell counts as red.
#
# Usage:  ci/merge.sh DIR [OUT.md]    every .json file below DIR is a result; the page goes to
#         standard output, to OUT.md, and to GITHUB_STEP_SUMMARY if that is set. The expected cells
#         are those of the workflow's matrix, or those in CELLS, names separated by commas.
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:?"usage: ci/merge.sh DIR [OUT.md]"}
out=${2:-/dev/null}
mkdir -p "$dir" "$(dirname "$out")"
cells=${CELLS:-$(python3 ci/facts.py cells | paste -sd, -)}
cargo run --quiet -p iomatrix --all-features -- report "$dir" --output markdown --expect "$cells" |
  tee "$out" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
