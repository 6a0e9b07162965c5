#!/usr/bin/env bash
# Judges servers that are broken altogether, and checks that the judge ends in time, uses little
# memory and leaves no process behind. Writes the table in docs/METHODOLOGY.md if all servers are
# judged. Takes about 15 min.
#
# Usage:  ci/hostile.sh [KIND...]     functions of proof/hostile/server.py; default: all
# Needs:  Linux; Python 3.11. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "hostile: the judge's memory is read from procfs" >&2
  exit 69
fi
cargo build --quiet -p iomatrix
table=$(mktemp)
trap 'rm -f "$table"' EXIT
status=0
python3 proof/hostile/run.py target/debug/iomatrix default "$@" | tee "$table" || status=$?
if [ $# -eq 0 ]; then
  python3 ci/place.py docs/METHODOLOGY.md hostile "$table"
fi
exit "$status"
