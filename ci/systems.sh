#!/usr/bin/env bash
# Merges the results of all systems on which this machine has judged rows into one page, and writes
# the table of platforms in README.md from them. It judges nothing itself. These commands make the
# results, which are target/systems/LABEL.json:
#
#   CONFORMANCE_OUTPUT=json=target/systems/linux.json ci/matrix.sh     this host
#   ci/kernels.sh                                                      Linux 5.10, 6.1, 6.12, newest
#   ci/kernels.sh 6.12-arm64                                           Linux on arm64
#   ci/deny-io-uring.sh result                                         io_uring denied
#   ci/small-host.sh                                                   limits as narrow as macOS's
#   ci/wine.sh ::                                                      Windows programs under wine
#
# Usage:  ci/systems.sh     writes target/systems/report.md and README.md; red if a result is red
# Needs:  cargo; Python 3.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob
results=(target/systems/*.json)
if [ "${#results[@]}" -eq 0 ]; then
  echo "systems: no result in target/systems; the head of this script says how to make them" >&2
  exit 2
fi
status=0
cargo run --quiet -p iomatrix --all-features -- report "${results[@]}" \
  --output markdown=target/systems/report.md || status=$?
python3 ci/systems.py "${results[@]}" >target/systems/platforms.md
python3 ci/place.py README.md platforms target/systems/platforms.md
echo "systems: merged ${#results[@]} results into target/systems/report.md"
exit "$status"
