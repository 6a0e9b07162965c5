#!/usr/bin/env bash
# Tests every package except the judge, each alone: with the features with which its users build it
# and with which it is judged. Tested together, packages would share features, and would all have to
# be built again.
#
# Usage:  ci/units.sh [CARGO'S ARGUMENTS...]    e.g. --release
# Needs:  cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
# A snapshot that differs is red, and is not updated.
export INSTA_UPDATE=no
status=0
for manifest in backends/*/Cargo.toml */Cargo.toml proof/mutant/Cargo.toml; do
  # `cargo test -p conformance` runs the tests of the judge.
  [ "$manifest" != conformance/Cargo.toml ] || continue
  features=()
  # Each user of `report` turns on some of its features; its tests need all of them.
  [ "$manifest" != report/Cargo.toml ] || features=(--all-features)
  if ! cargo test --quiet --manifest-path "$manifest" ${features[@]+"${features[@]}"} "$@"; then
    echo "units: red: cargo test --manifest-path $manifest" >&2
    status=1
  fi
done
exit "$status"
