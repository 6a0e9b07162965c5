#!/usr/bin/env bash
# Builds the documentation of every package, including private items, with warnings denied. Packages
# are built one at a time, because ci/clippy.sh has then already checked their dependencies.
# Together they would need other builds of their dependencies, with the features of all packages.
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
