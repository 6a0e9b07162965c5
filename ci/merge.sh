#!/usr/bin/env bash
# Merges the result files of the OS matrix into one page. A cell that left no file is shown as
# "no result". Ends with the status of the worst cell; a missing one counts as red.
#
# Usage:  ci/merge.sh DIR [OUT.md]    every .json file below DIR is a result; the page goes to
#         standard output, to OUT.md, and to GITHUB_STEP_SUMMARY where that is set. The cells that
#         are expected are those of the workflow's matrix, or CELLS, names with commas between.
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:?"usage: ci/merge.sh DIR [OUT.md]"}
out=${2:-/dev/null}
mkdir -p "$dir" "$(dirname "$out")"
cells=${CELLS:-$(python3 ci/facts.py cells | paste -sd, -)}
cargo run --quiet -p iomatrix --all-features -- report "$dir" --output markdown --expect "$cells" |
  tee "$out" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
