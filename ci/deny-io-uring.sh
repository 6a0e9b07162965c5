#!/usr/bin/env bash
# Checks what happens if io_uring is refused, for each error with which hosts refuse it: ENOSYS (an
# old kernel), EPERM (a container, a sysctl) and ENOMEM (a memory lock limit). Each row on io_uring
# must be unavailable and name the error, with exit status 69. If io_uring is required, each such
# row must be red, with exit status 1. A row on another driver must pass.
#
# Usage:  ci/deny-io-uring.sh           by seccomp: the program restricts itself
#         ci/deny-io-uring.sh result    judges all rows with EPERM in profile quick, and writes
#                                       target/systems/linux-denied.json
#         ci/deny-io-uring.sh sysctl    by the sysctl kernel.io_uring_disabled, for the whole host
#                                       while the script runs
# Needs:  Linux; cargo; Python 3.11. For the sysctl: root or sudo, and Linux 6.6.
set -euo pipefail
cd "$(dirname "$0")/.."
by=${1:-seccomp}
case $by in
  seccomp | sysctl | result) ;;
  *)
    echo "deny-io-uring: use 'sysctl', 'result', or no argument" >&2
    exit 2
    ;;
esac
if [ "$(uname -s)" != Linux ]; then
  echo "deny-io-uring: io_uring is of Linux only" >&2
  exit 69
fi

rings=$(python3 ci/facts.py rows io_uring | paste -sd, -)
other=$(python3 ci/facts.py rows epoll | sed -n 1p)
cargo build --quiet -p iomatrix --all-features
iomatrix=${CARGO_TARGET_DIR:-target}/debug/iomatrix

if [ "$by" = result ]; then
  mkdir -p target/systems
  CONFORMANCE_LABEL=linux-denied "$iomatrix" restrict --deny-io-uring EPERM -- "$iomatrix" check \
    --profile quick --output text --output json=target/systems/linux-denied.json
  exit
fi

switch=/proc/sys/kernel/io_uring_disabled
# set_switch VALUE: sets the sysctl.
set_switch() {
  if [ "$(id -u)" -eq 0 ]; then echo "$1" >"$switch"; else
    echo "$1" | sudo -n tee "$switch" >/dev/null
  fi
}

# expect STATUS ERRNO ARGUMENTS...: runs the check while io_uring fails with ERRNO, and compares the
# exit status.
expect() {
  local expected=$1 errno=$2 actual=0 output restricted=()
  shift 2
  [ "$by" = sysctl ] || restricted=("$iomatrix" restrict --deny-io-uring "$errno" --)
  output=$(${restricted[@]+"${restricted[@]}"} "$iomatrix" check "$@" 2>&1) || actual=$?
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

errnos='ENOSYS EPERM ENOMEM'
if [ "$by" = sysctl ]; then
  errnos=EPERM
  if [ ! -e "$switch" ] || ! was=$(cat "$switch") || ! set_switch "$was" 2>/dev/null; then
    echo "deny-io-uring: cannot set kernel.io_uring_disabled: needs root and Linux 6.6" >&2
    exit 69
  fi
  trap 'set_switch "$was"' EXIT
  set_switch 2
fi
for errno in $errnos; do
  expect 69 "$errno" --row "$rings"
  expect 1 "$errno" --row "$rings" --require io_uring
  expect 0 "$errno" --row "$other" --case tcp-echo/one-byte
done
