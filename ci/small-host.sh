#!/usr/bin/env bash
# Judges all rows on a Linux that is as narrow as macOS: an accept queue of 128 clients, 16,384
# client ports that stay in TIME_WAIT, datagrams of at most 9,216 bytes, short queues of datagrams,
# and a soft limit of 256 descriptors. No row may be red for what this host lacks.
#
# Usage:  ci/small-host.sh     writes target/systems/linux-narrow.json; takes about 10 min
#         CONFORMANCE_PROFILE  default: quick
# Needs:  Linux; root; unshare(1), ip(8); cargo; Python 3.11. While it runs, two sysctls of the
#         whole host are changed, net.core.rmem_default and wmem_default, because a network
#         namespace has none of its own. It is a step of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
  echo "small-host: needs Linux and root" >&2
  exit 69
fi
for tool in unshare ip; do
  if ! command -v "$tool" >/dev/null; then
    echo "small-host: no $tool (packages util-linux and iproute2)" >&2
    exit 69
  fi
done
if ! unshare --net true; then
  echo "small-host: a network namespace is not permitted here" >&2
  exit 69
fi
# Outside of the namespace, because a build may need the network.
cargo build --quiet -p conformance --features uring --test matrix
cargo build --quiet -p iomatrix --all-features
for server in $(python3 ci/facts.py servers linux); do cargo build --quiet -p "$server"; done

sizes=(rmem_default wmem_default)
before=()
for size in "${sizes[@]}"; do before+=("$(cat "/proc/sys/net/core/$size")"); done
restore() {
  local index
  for index in "${!sizes[@]}"; do
    echo "${before[$index]}" >"/proc/sys/net/core/${sizes[$index]}" ||
      echo "small-host: could not restore ${sizes[$index]}" >&2
  done
}
trap restore EXIT
# The kernel counts twice the bytes of a datagram, and its own records.
for size in "${sizes[@]}"; do echo 20480 >"/proc/sys/net/core/$size"; done

mkdir -p target/systems
# shellcheck disable=SC2016 # the inner shell expands these
unshare --net bash -euc '
  ip link set lo up
  set_limit() { echo "$2" >"/proc/sys/net/$1"; }
  set_limit core/somaxconn 128
  set_limit ipv4/ip_local_port_range "49152 65535"
  set_limit ipv4/tcp_tw_reuse 0
  set_limit unix/max_dgram_qlen 10
  ulimit -S -n 256
  export CONFORMANCE_LABEL=linux-narrow CONFORMANCE_PROFILE=${CONFORMANCE_PROFILE:-quick}
  export CONFORMANCE_OUTPUT=json=$PWD/target/systems/linux-narrow.json
  cargo run --quiet -p iomatrix --all-features -- doctor
  cargo test -p conformance --features uring --test matrix
'
