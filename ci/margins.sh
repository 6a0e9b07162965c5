#!/usr/bin/env bash
# Judges two rows many times while all cores are busy. Writes into docs/METHODOLOGY.md, between two
# markers, how near each case that judges time or cost came to its limits. Leaves out the cases that
# only ask whether a new client is served in time. Takes about 6 min.
#
# Usage:  ci/margins.sh [REPEATS [ROWS [PROFILE]]]     default: 10 tokio,tokio-uring default
# Needs:  cargo; Python 3. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
repeats=${1:-10}
rows=${2:-tokio,tokio-uring}
profile=${3:-default}
table=$(mktemp)
busy=()
# One endless loop per core keeps the host busy until this script ends.
for _ in $(seq "$(nproc)"); do
  timeout 3600 sh -c 'while :; do :; done' &
  busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null; rm -f "$table"' EXIT
matrix() { cargo run --quiet -p iomatrix -- check --row "$rows" --profile "$profile" "$@"; }

# Reads a result file from standard input, and prints the cases that have their own limit, separated
# by commas.
timed_cases() {
  python3 -c "$(cat <<'PYTHON'
import json
import sys

cells = [cell for cell in json.load(sys.stdin)["cells"] if cell["margin"]]
# On a busy host, cells that judge latency can be errors, which say nothing about the server.
cells = [cell for cell in cells if cell["verdict"] != "error"]
timed = [cell for cell in cells if "a new client" not in cell["margin"]["what"]]
print(",".join(sorted({f"{cell['suite']}/{cell['case']}" for cell in timed})))
PYTHON
)"
}

# The exit status is 3 if a cell was an error.
cases=$( (matrix --output json || [ $? -eq 3 ]) | timed_cases)
status=0
printf 'Profile %s, %d times each, all cores kept busy by another process.\n\n' \
  "$profile" "$repeats" >"$table"
matrix --case "$cases" --repeat "$repeats" --output margins >>"$table" || status=$?
python3 ci/place.py docs/METHODOLOGY.md margins "$table"
# In this many repeats, the host is sometimes too busy for a cell, which gives status 3.
[ "$status" -eq 3 ] || exit "$status"
