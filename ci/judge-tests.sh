#!/usr/bin/env bash
# Tests the judge without judging a row: runs the unit tests of the crate conformance, and its test
# targets that `cargo test -p conformance` runs by default, except the matrix.
#
# Usage:  ci/judge-tests.sh [CARGO'S ARGUMENTS...]    e.g. --release
# Needs:  cargo; Python 3.10.
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
# On some images of Windows, python3 is a program that only opens the shop.
"$python" -c '' 2>/dev/null || python=python
# Python on Windows ends lines with CR LF.
names=$("$python" ci/facts.py tests conformance | tr -d '\r')
targets=()
for name in $names; do
  [ "$name" = matrix ] || targets+=(--test "$name")
done
cargo test --no-fail-fast -p conformance --features uring --lib "${targets[@]}" "$@"
