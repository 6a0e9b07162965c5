#!/usr/bin/env bash
# Checks what happens if io_uring is refused, for each error with which hosts refuse it: ENOSYS (an
# old kernel), EPERM (a container, a sysctl) and ENOMEM (a memory lock limit). Each row on io_uring
# must be unavailable and name the error, with exit status 69. If io_uring is required, each such
# row must be red, with exit status 1. A row on another driver must pass.
#
# Usage:  ci/deny-io-uring.sh
# Needs:  Linux; cargo; Python 3.11. It needs no root: the program restricts itself.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "deny-io-uring: io_uring is of Linux only" >&2
  exit 69
fi

rings=$(python3 ci/facts.py rows io_uring | paste -sd, -)
other=$(python3 ci/facts.py rows epoll | sed -n 1p)
cargo build --quiet -p iomatrix --all-features
iomatrix=${CARGO_TARGET_DIR:-target}/debug/iomatrix

# expect STATUS ERRNO ARGUMENTS...: runs the check while io_uring fails with ERRNO, and compares the
# exit status.
expect() {
  local expected=$1 errno=$2 actual=0 output
  shift 2
  output=$("$iomatrix" restrict --deny-io-uring "$errno" -- "$iomatrix" check "$@" 2>&1) ||
    actual=$?
  if [ "$actual" -ne "$expected" ]; then
    printf '%s\n' "$output"
    echo "deny-io-uring: with $errno, check $* ended with $actual, expected $expected" >&2
    return 1
  fi
  if [ "$expected" -eq 69 ] && ! grep -q "$errno" <<<"$output"; then
    printf '%s\n' "$output"
    echo "deny-io-uring: the reason does not name $errno" >&2
    return 1
  fi
  echo "ok  $errno  exit $actual  check $*"
}

for errno in ENOSYS EPERM ENOMEM; do
  expect 69 "$errno" --row "$rings"
  expect 1 "$errno" --row "$rings" --require io_uring
  expect 0 "$errno" --row "$other" --case tcp-echo/one-byte
done
