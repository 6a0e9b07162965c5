#!/usr/bin/env bash
# Judges two rows many times while both cores are kept busy, and writes how near each case came to
# its limits into docs/METHODOLOGY.md, between its two markers. About a quarter of an hour.
#
# Usage:  ci/margins.sh [REPEATS [ROWS]]     default: 50 tokio,tokio-uring
# Needs:  nothing beyond Cargo and Python 3. It is no part of .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."
repeats=${1:-50}
rows=${2:-tokio,tokio-uring}
table=$(mktemp)
busy=()
# Kept busy by something else: one endless loop for each core, which ends with this script.
for _ in $(seq "$(nproc)"); do
  timeout 3600 sh -c 'while :; do :; done' &
  busy+=($!)
done
trap 'kill "${busy[@]}" 2>/dev/null; rm -f "$table"' EXIT
status=0
cargo run --quiet -p iomatrix -- check --row "$rows" --repeat "$repeats" --output margins \
  >"$table" || status=$?
python3 - "$table" "$repeats" <<'PYTHON'
import pathlib
import re
import sys

table, repeats = pathlib.Path(sys.argv[1]).read_text(), sys.argv[2]
page = pathlib.Path("docs/METHODOLOGY.md")
begin, end = "<!-- margins: written by ci/margins.sh -->\n", "<!-- end of margins -->"
block = f"{begin}{repeats} times each, both cores kept busy by another process.\n\n{table}{end}"
text = page.read_text()
place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
page.write_text(place.sub(lambda _: block, text))
PYTHON
exit "$status"
