#!/usr/bin/env bash
# Shows that the suite finds public bugs: servers on the old releases that had them must be red, and
# green on those that mended them. proof/history/README.md says more. A minute to judge, after
# some minutes to build.
#
# Usage:  ci/history.sh [NAME...]     bugs of proof/history/bugs.toml; default: all
#         IOMATRIX=PROGRAM            another judge than the one built from these sources
# Needs:  Linux; cargo; Python 3.11. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "history: the servers are written for Linux" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-target}
for side in red green; do
  # Some of the servers are workspaces of their own.
  for lock in "proof/history/$side/Cargo.lock" "proof/history/$side"/*/Cargo.lock; do
    cargo build --quiet --locked --manifest-path "${lock%.lock}.toml" \
      --target-dir "$target/history/$side"
  done
done
if [ -z "${IOMATRIX:-}" ]; then
  cargo build --quiet -p iomatrix --all-features
  IOMATRIX=$target/debug/iomatrix
fi
python3 proof/history/run.py "$IOMATRIX" "$target/history" "$@"
