#!/usr/bin/env bash
# Tests the judge without judging a row: runs the unit tests of the crate conformance, and every
# test target of it but the matrix. `cargo test -p conformance` runs all of these and the matrix.
#
# Usage:  ci/judge-tests.sh [CARGO'S ARGUMENTS...]    e.g. --release
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=()
while read -r target; do
  [ "$target" = matrix ] || targets+=(--test "$target")
done < <(python3 ci/facts.py tests conformance)
cargo test --no-fail-fast -p conformance --features uring --lib "${targets[@]}" "$@"
