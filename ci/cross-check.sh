#!/usr/bin/env bash
# Runs clippy for macOS and Windows, including tests, with warnings denied. Nothing is linked or
# run, so this does not notice a library that is missing there.
#
# Usage:  ci/cross-check.sh [--each] [TARGET...]
#         --each    each package alone, as ci/clippy.sh does for this system: a package that relies
#                   on a feature that another turns on is then red. Takes twice as long, and is a
#                   step of ci/nightly.
#         TARGET    default: aarch64-apple-darwin x86_64-pc-windows-msvc
# Needs:  for each target either its standard library (`rustup target add TARGET`) or, on Debian 12,
#         ci/setup.sh cross, whose library source is then built; Python 3.11. Without a standard
#         library, ends with 69.
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
  # Puts Debian's cargo, rustc and clippy first: they are of the same release as the library source.
  export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1
fi
# A separate folder, because another compiler checks the packages here.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cross

# clippy PACKAGE...: checks all targets at once, so that macros and build scripts, which run here,
# are built once.
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
