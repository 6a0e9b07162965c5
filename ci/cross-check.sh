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
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cross

status=0
for target in "$@"; do
  build_std=()
  if [ ! -d "$(rustc --print target-libdir --target "$target")" ]; then
    if [ ! -e /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]; then
      echo "cross-check: no standard library for $target; run ci/setup.sh cross" >&2
      exit 69
    fi
    # Debian's cargo, rustc and clippy are found first, as one release with the library source.
    export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1
    build_std=(-Z build-std)
  fi
  before=$SECONDS
  for package in $packages; do
    if ! cargo clippy --quiet "${build_std[@]}" --target "$target" \
      -p "$package" --all-targets --all-features -- -D warnings; then
      echo "cross-check: red: $package for $target" >&2
      status=1
    fi
  done
  echo "$target: $((SECONDS - before)) s"
done
exit "$status"
