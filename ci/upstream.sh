#!/usr/bin/env bash
# Runs the reproduction of each finding of backends/findings.toml that shows on Linux, and prints a
# line for each. Red if a fault is gone, because docs/UPSTREAM.md and a backend's workaround are
# then out of date, and if a reproduction fails. ci/wine.sh runs those for Windows. Runs for about
# 30 s, after 3 min of building.
#
# Usage:  ci/upstream.sh [NAME...]           default: all of them, with the releases of the lock
#                                            files
#         ci/upstream.sh --newest [NAME...]  with the newest release of every library. Also red if
#                                            a reproduction does not build with it.
# Needs:  Linux; cargo; Python 3.11; strace (ci/setup.sh trace). Both are steps of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "upstream: the reproductions are written for Linux" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-$PWD/target}
newest=$target/newest
releases=locked
if [ "${1:-}" = --newest ]; then
  releases=newest
  shift
fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# prepare_newest: makes a package of each reproduction, in which each library may have any version.
prepare_newest() {
  local sources=() package program
  while read -r _ package program _; do
    case $package in
      upstream) sources+=("proof/upstream/src/bin/$program.rs") ;;
      *) sources+=("backends/${package#backend-}/examples/$program.rs") ;;
    esac
  done < <(python3 ci/facts.py findings linux)
  python3 ci/newest.py "$newest" "${sources[@]}"
}

# run PACKAGE PROGRAM: runs a reproduction for at most 1 min. Returns 101 if it does not build.
run() {
  local program=$target/upstream/debug/$2
  if [ "$releases" = newest ]; then
    program=$newest/target/debug/$2
    cargo build --quiet --manifest-path "$newest/$2/Cargo.toml" --target-dir "$newest/target" ||
      return 101
  elif [ "$1" != upstream ]; then
    program=$target/debug/examples/$2
    cargo build --quiet -p "$1" --example "$2" || return 101
  fi
  timeout 60 "$program"
}

# version_used PROGRAM LIBRARY: prints the version of a library that a newest reproduction uses.
version_used() {
  [ "$releases" = locked ] || sed -n "/^name = \"$2\"\$/{n;s/^version = \"\(.*\)\"\$/\1/p}" \
    "$newest/$1/Cargo.lock" 2>/dev/null | tail -n 1
}

if [ "$releases" = newest ]; then
  # Without this, Cargo would take older releases in place of those that need a newer Rust.
  export CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=allow
  prepare_newest
else
  cargo build --quiet --locked --manifest-path proof/upstream/Cargo.toml \
    --target-dir "$target/upstream"
fi

status=0 count=0
while read -r name package program library; do
  [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
  count=$((count + 1)) ended=0
  run "$package" "$program" </dev/null >"$said" 2>&1 || ended=$?
  version=$(version_used "$program" "$library")
  what="$name${version:+ (${library} ${version})}"
  case $ended in
    0) echo "shown    $what" ;;
    1) echo "GONE     $what" && sed 's/^/    /' "$said" && status=1 ;;
    *) echo "FAILED   $what, exit status $ended" && sed 's/^/    /' "$said" && status=1 ;;
  esac
done < <(python3 ci/facts.py findings linux)
if [ "$count" -eq 0 ]; then
  echo "upstream: no finding is named so; \`iomatrix list --findings\` shows them" >&2
  exit 2
fi
echo "$count findings on Linux, $releases releases"
exit "$status"
