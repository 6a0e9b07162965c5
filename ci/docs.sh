#!/usr/bin/env bash
# Builds the documentation of every package, private items too, warnings denied. One after another,
# because what each needs has then been checked by ci/clippy.sh; together they would need other
# builds of their dependencies, with the features of all.
#
# Usage:  ci/docs.sh [--open]
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTDOCFLAGS=-Dwarnings
packages=$(python3 ci/facts.py packages)
status=0
for package in $packages; do
  if ! cargo doc --quiet -p "$package" --no-deps --document-private-items --all-features "$@"; then
    echo "docs: red: $package" >&2
    status=1
  fi
done
exit "$status"
