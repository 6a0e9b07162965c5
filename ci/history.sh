#!/usr/bin/env bash
# Shows that the suite finds public bugs: servers must be red on the old releases that had the bugs,
# and green on the releases that fixed them. proof/history/README.md explains it. Judging takes
# about 1 min, after some minutes of building.
#
# Usage:  ci/history.sh [NAME...]     bugs of proof/history/bugs.toml; default: all
#         IOMATRIX=PROGRAM            the judge; default: built from these sources
# Needs:  Linux; cargo; Python 3.11. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "history: the servers are written for Linux" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-target}
for side in red green; do
  # Some servers are separate workspaces.
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
