#!/usr/bin/env bash
# Judges one server that commits many faults at once, and checks that it is not certified and that
# it fails every case below. Faults of the same case may hide each other; faults of different cases
# must not. Takes about 2 min.
#
# Usage:  ci/together.sh
# Needs:  Linux; Python 3.11. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "together: urgent data and memory are judged on Linux" >&2
  exit 69
fi

# Each fault with the case that finds it in profile default, or `-` if only profile full finds it.
faults='
knows-the-stamp            tcp-large/256-mib
loses-read-at-32-mib       tcp-large/256-mib
loses-zero-page            tcp-content/monotonous
limits-lines               tcp-content/monotonous
lingers-at-close           tcp-half-close/backlog-beside-others
misses-fin-beside-hot      tcp-accept/while-hot
misses-fin-after-10-s      idle/connection-survives
drops-up-to-urgent         tcp-echo/urgent-amid-bytes
sleeps-each-100th          tcp-echo/no-rare-stall
leaks-1-kib                res/memory-after-churn
leaks-80-bytes-a-message   res/memory-of-streams
serves-1100-at-once        endurance/2000-at-once
cliff-after-5-s            endurance/first-after-silence
any-address                life/only-its-address
spoils-126                 tcp-echo/every-length
leaves-zombies             res/children-waited-for
leaks-100-kib-on-fin       res/memory-after-churn
serves-3000                -
closes-after-20-s          -
loses-65536th-read         -
'
cargo build --quiet -p iomatrix -p mutant
server=target/debug/mutant
while read -r fault _; do
  [ -z "$fault" ] || server+=" --fault $fault"
done <<< "$faults"
result=$(mktemp)
trap 'rm -f "$result"' EXIT
status=0
target/debug/iomatrix check --contract "$server" --profile default --output json="$result" \
  > /dev/null || status=$?
FAULTS=$faults python3 - "$result" "$status" <<'E2'
import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    run = json.load(file)
wrong = []
if sys.argv[2] != "1" or run["rows"][0]["certificate"]["certified"]:
    wrong.append(f"exit status {sys.argv[2]}, {run['rows'][0]['certificate']}")
found = {f"{cell['suite']}/{cell['case']}": cell["verdict"] for cell in run["cells"]
         if cell["verdict"] in ("fail", "crash", "timeout", "miss")}
for line in filter(None, os.environ["FAULTS"].splitlines()):
    fault, case = line.split()
    verdict = found.get(case, "")
    print(f"{fault:<26} {case if case != '-' else 'profile full':<36} {verdict}")
    if case != "-" and not verdict:
        wrong.append(f"{fault}: {case} is met")
print(f"{len(found)} cases are not met")
sys.exit("\n".join(wrong) or 0)
E2
