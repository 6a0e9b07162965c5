#!/usr/bin/env bash
# Runs clippy for macOS and Windows, tests included, warnings denied. Nothing is linked and nothing
# runs, so a library that is missing there is not noticed.
#
# Usage:  ci/cross-check.sh [--each] [TARGET...]
#         --each    each package on its own, as ci/clippy.sh does it for this system: one that lacks
#                   a feature which another lends it is then red. Takes twice as long, and is a
#                   step of ci/nightly.
#         TARGET    default: aarch64-apple-darwin x86_64-pc-windows-msvc
# Needs:  for each target either its standard library (`rustup target add TARGET`) or, on Debian 12,
#         ci/setup.sh cross, whose library source is then built; Python 3.11. Ends with 69 without.
set -euo pipefail
cd "$(dirname "$0")/.."
each=no
if [ "${1:-}" = --each ]; then
  each=yes
  shift
fi
[ $# -gt 0 ] || set -- aarch64-apple-darwin x86_64-pc-windows-msvc
packages=$(python3 ci/facts.py packages)
targets=() build_std=()
for target in "$@"; do
  targets+=(--target "$target")
  [ ! -d "$(rustc --print target-libdir --target "$target")" ] || continue
  if [ ! -e /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]; then
    echo "cross-check: no standard library for $target; run ci/setup.sh cross" >&2
    exit 69
  fi
  build_std=(-Z build-std)
done
if [ "${#build_std[@]}" -gt 0 ]; then
  # Debian's cargo, rustc and clippy are found first, as one release with the library source.
  export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1
fi
# A folder of its own: these packages are checked by another compiler.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cross

# clippy PACKAGE...: for all targets at once, because what runs here, macros and build scripts, is
# then built once.
clippy() {
  local package options=()
  for package in "$@"; do options+=(-p "$package"); done
  cargo clippy --quiet --config profile.dev.opt-level=0 --config profile.dev.debug=0 \
    ${build_std[@]+"${build_std[@]}"} "${targets[@]}" "${options[@]}" --all-targets --all-features \
    -- -D warnings
}

# shellcheck disable=SC2086 # words
if [ "$each" = no ]; then
  clippy $packages
  exit
fi
status=0
for package in $packages; do
  clippy "$package" || { echo "cross-check: red: $package" >&2 && status=1; }
done
exit "$status"
