#!/usr/bin/env bash
# Runs the reproduction of each waiver of backends/backends.toml, and of each finding because of
# which a backend lacks something. A reproduction exits with 0 if the runtime alone still shows the
# failure. If it does not, the waiver or the finding is out of date.
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
