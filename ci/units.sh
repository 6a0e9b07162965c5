#!/usr/bin/env bash
# Tests every package but the judge, each on its own: with the features that it has alone, as its
# users build it and as it is judged. Together they would be other programs, all built anew.
#
# Usage:  ci/units.sh [CARGO'S ARGUMENTS...]    e.g. --release
# Needs:  cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
# A snapshot that differs is red, and stays as it is.
export INSTA_UPDATE=no
status=0
for manifest in backends/*/Cargo.toml */Cargo.toml proof/mutant/Cargo.toml; do
  # The judge's own tests are those of `cargo test -p conformance`.
  [ "$manifest" != conformance/Cargo.toml ] || continue
  features=()
  # Each of its users turns on some of its features; its own tests are of all.
  [ "$manifest" != report/Cargo.toml ] || features=(--all-features)
  if ! cargo test --quiet --manifest-path "$manifest" ${features[@]+"${features[@]}"} "$@"; then
    echo "units: red: cargo test --manifest-path $manifest" >&2
    status=1
  fi
done
exit "$status"
