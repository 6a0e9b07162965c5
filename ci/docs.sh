#!/usr/bin/env bash
# Builds the documentation of every package, private items too, warnings denied.
#
# Usage:  ci/docs.sh [--open]
# Needs:  cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTDOCFLAGS=-Dwarnings
exec cargo doc --workspace --no-deps --document-private-items --all-features "$@"
