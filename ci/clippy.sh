#!/usr/bin/env bash
# Runs clippy on each package alone, with warnings denied. Checked together, packages would share
# the features of their dependencies, and a package that does not build alone would pass. For the
# same reason each is checked twice: as its users build it, and with its tests and all features.
#
# Usage:  ci/clippy.sh [PACKAGE...]     default: all of the workspace
# Needs:  cargo with clippy; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=$*
[ -n "$packages" ] || packages=$(python3 ci/facts.py packages)
status=0
for package in $packages; do
  for breadth in "" "--all-targets --all-features"; do
    # shellcheck disable=SC2086 # two options, or none
    if ! cargo clippy --quiet -p "$package" $breadth -- -D warnings; then
      echo "clippy: red: cargo clippy -p $package $breadth -- -D warnings" >&2
      status=1
    fi
  done
done
# `--all-targets` leaves out a target that `cargo test` does not run by default.
if [ $# -eq 0 ] &&
  ! cargo clippy --quiet -p conformance --all-features --test mutants -- -D warnings; then
  echo "clippy: red: the test target mutants of conformance" >&2
  status=1
fi
exit "$status"
