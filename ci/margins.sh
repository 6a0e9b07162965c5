#!/usr/bin/env bash
# Judges two rows many times while both cores are kept busy, and writes how near each case that
# judges time or cost came to its limits into docs/METHODOLOGY.md, between its two markers. Cases
# that only ask whether a new client is served in time are left out. About a quarter of an hour.
#
# Usage:  ci/margins.sh [REPEATS [ROWS [PROFILE]]]     default: 30 tokio,tokio-uring default
# Needs:  cargo; Python 3. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
repeats=${1:-30}
rows=${2:-tokio,tokio-uring}
profile=${3:-default}
table=$(mktemp)
busy=()
# Kept busy by something else: one endless loop for each core, which ends with this script.
for _ in $(seq "$(nproc)"); do
  timeout 3600 sh -c 'while :; do :; done' &
  busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null; rm -f "$table"' EXIT
matrix() { cargo run --quiet -p iomatrix -- check --row "$rows" --profile "$profile" "$@"; }

# Reads a result file and prints the cases with a limit of their own, separated by commas.
timed_cases() {
  python3 -c "$(cat <<'PYTHON'
import json
import sys

cells = [cell for cell in json.load(sys.stdin)["cells"] if cell["margin"]]
timed = [cell for cell in cells if "a new client" not in cell["margin"]["what"]]
print(",".join(sorted({f"{cell['suite']}/{cell['case']}" for cell in timed})))
PYTHON
)"
}

cases=$(matrix --output json | timed_cases)
status=0
printf 'Profile %s, %d times each, all cores kept busy by another process.\n\n' \
  "$profile" "$repeats" >"$table"
matrix --case "$cases" --repeat "$repeats" --output margins >>"$table" || status=$?
python3 ci/place.py docs/METHODOLOGY.md margins "$table"
exit "$status"
