#!/usr/bin/env bash
# Runs the reproduction of each finding of backends/findings.toml that shows on Linux, and prints a
# line for each. Red if a fault is gone, because docs/UPSTREAM.md and a backend's workaround are
# then out of date, and if a reproduction fails. ci/wine.sh runs those for Windows. Runs for about
# 30 s, after 3 min of building.
#
# Usage:  ci/upstream.sh [NAME...]     default: all of them
# Needs:  Linux; cargo; Python 3.11; strace (ci/setup.sh trace). It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "upstream: the reproductions are written for Linux" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-target}
apart=(--locked --manifest-path proof/upstream/Cargo.toml --target-dir "$target/upstream")
cargo build --quiet "${apart[@]}"
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# run PACKAGE PROGRAM: runs a reproduction for at most 1 min, if it builds.
run() {
  if [ "$1" = upstream ]; then
    timeout 60 "$target/upstream/debug/$2"
  else
    cargo build --quiet -p "$1" --example "$2" && timeout 60 "$target/debug/examples/$2"
  fi
}

status=0 count=0
while read -r name package program; do
  [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
  count=$((count + 1)) ended=0
  run "$package" "$program" </dev/null >"$said" 2>&1 || ended=$?
  case $ended in
    0) echo "shown    $name" ;;
    1) echo "GONE     $name" && sed 's/^/    /' "$said" && status=1 ;;
    *) echo "FAILED   $name, exit status $ended" && sed 's/^/    /' "$said" && status=1 ;;
  esac
done < <(python3 ci/facts.py findings linux)
if [ "$count" -eq 0 ]; then
  echo "upstream: no finding is named so; \`iomatrix list --findings\` shows them" >&2
  exit 2
fi
echo "$count findings on Linux"
exit "$status"
