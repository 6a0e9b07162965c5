#!/usr/bin/env bash
# Runs the program that each waiver of backends/backends.toml names, and those of the findings
# because of which a backend lacks something. A program ends with 0 when the runtime alone still
# shows the failure: else the waiver, or the reason, has lost its ground.
#
# Usage:  ci/waivers.sh
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
case $(uname -s) in
  Linux) system=linux ;;
  Darwin) system=macos ;;
  *) system=windows ;;
esac
reproductions=$(python3 ci/facts.py waivers "$system" && python3 ci/facts.py lacks "$system")
status=0 count=0
while read -r package example; do
  [ -n "$package" ] || continue
  count=$((count + 1))
  if cargo run --quiet -p "$package" --example "$example"; then
    echo "ok  $package  $example"
  else
    echo "waivers: $example of $package did not show the failure" >&2
    status=1
  fi
done <<<"$reproductions"
echo "$count reproductions on $system"
exit "$status"
