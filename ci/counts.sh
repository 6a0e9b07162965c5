#!/usr/bin/env bash
# Measures the rows of Linux, and compares their counts with the table of docs/METHODOLOGY.md:
# system calls or submissions per message, and memory per idle connection. These counts hardly
# depend on the host. A count that clearly differs is red, because a runtime or a backend has
# changed, or because the table is out of date; so is a row that the table lacks. Times are printed
# and not judged: they differ between hosts.
#
# Usage:  ci/counts.sh
# Needs:  Linux, as root or with ci/setup.sh counters; cargo; Python 3.11. Takes about 5 min, after
#         building. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "counts: the table is about Linux" >&2
  exit 69
fi
out=${CARGO_TARGET_DIR:-target}/counts
mkdir -p "$out"
# measure NAME ROWS ARGUMENTS...: runs a bench of these rows. Status 3 says that times are invalid,
# as on a busy host.
measure() {
  local name=$1 rows=$2
  shift 2
  rm -f "$out/$name.json"
  cargo run --quiet --release -p iomatrix -- bench --row "$rows" --duration 1s --rounds 3 "$@" \
    --output text --output "json=$out/$name.json" || [ $? -eq 3 ]
}
measure calls "$(python3 ci/counts.py rows calls)"
# An open loop: several rows on a ring are faster than the generator.
measure submissions "$(python3 ci/counts.py rows submissions)" --rate 20K
python3 ci/counts.py compare "$out/calls.json" "$out/submissions.json"
