#!/usr/bin/env bash
# Runs clippy for macOS and Windows, tests included, warnings denied, each package on its own.
# Nothing is linked and nothing runs, so a library that is missing there is not noticed.
#
# Usage:  ci/cross-check.sh [TARGET...]   default: aarch64-apple-darwin x86_64-pc-windows-msvc
# Needs:  for each target either its standard library (`rustup target add TARGET`) or, on Debian 12,
#         ci/setup.sh cross, whose library source is then built; Python 3.11. Ends with 69 without.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- aarch64-apple-darwin x86_64-pc-windows-msvc
packages=$(python3 ci/facts.py packages)
folder=${CARGO_TARGET_DIR:-target}/cross

# lint TARGET: runs clippy on every package for it, in a target folder of its own, because Cargo
# locks that.
lint() {
  local package status=0 before=$SECONDS build_std=()
  export CARGO_TARGET_DIR=$folder/$1
  if [ ! -d "$(rustc --print target-libdir --target "$1")" ]; then
    # Debian's cargo, rustc and clippy are found first, as one release with the library source.
    export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1
    build_std=(-Z build-std)
  fi
  for package in $packages; do
    if ! cargo clippy --quiet ${build_std[@]+"${build_std[@]}"} --target "$1" \
      -p "$package" --all-targets --all-features -- -D warnings; then
      echo "cross-check: red: $package for $1" >&2
      status=1
    fi
  done
  echo "$1: $((SECONDS - before)) s"
  return "$status"
}

for target in "$@"; do
  if [ ! -d "$(rustc --print target-libdir --target "$target")" ] &&
    [ ! -e /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]; then
    echo "cross-check: no standard library for $target; run ci/setup.sh cross" >&2
    exit 69
  fi
done

# Side by side, because much of a build is one large crate, which keeps one core busy.
mkdir -p "$folder"
lints=()
trap 'kill "${lints[@]}" 2>/dev/null || true' EXIT
for target in "$@"; do
  lint "$target" >"$folder/$target.log" 2>&1 &
  lints+=($!)
done
status=0
for lint in "${lints[@]}"; do
  wait "$lint" || status=1
done
for target in "$@"; do cat "$folder/$target.log"; done
exit "$status"
