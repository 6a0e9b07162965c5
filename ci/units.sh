#!/usr/bin/env bash
# Tests every package but the judge, each on its own: with the features that it has alone, as its
# users build it and as it is judged. Together they would be other programs, all built anew.
#
# Usage:  ci/units.sh [CARGO'S ARGUMENTS...]    e.g. --release
# Needs:  cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
for manifest in backends/*/Cargo.toml */Cargo.toml proof/mutant/Cargo.toml; do
  # The judge's own tests are those of `cargo test -p conformance`.
  [ "$manifest" != conformance/Cargo.toml ] || continue
  if ! cargo test --quiet --manifest-path "$manifest" "$@"; then
    echo "units: red: cargo test --manifest-path $manifest" >&2
    status=1
  fi
done
exit "$status"
