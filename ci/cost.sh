#!/usr/bin/env bash
# What each row costs: CPU time of its server a message, measured from outside, over the floor,
# which is what recv and send alone cost in the same round. One worker, 64 connections, 64 bytes;
# server and clients on a CPU each; nine rounds, medians. Release build. Prints a Markdown table,
# with the system calls a message and the memory of a connection that is idle after one echo.
#
# Usage:  ci/cost.sh [ROW...]     rows of backends/backends.toml; default: all
# Needs:  Linux with two CPUs and nothing else to do; cargo, a C compiler, Python 3.11, taskset; for
#         the system calls, perf and the right to use its tracepoints (root has it).
#         It is not part of .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "cost: CPU time is read from procfs, which is Linux's" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-target}
tools=$target/cost
mkdir -p "$tools"
for tool in floor load; do
  cc -std=c11 -O2 -Wall -Wextra -Werror -o "$tools/$tool" "ci/cost/$tool.c"
done
# Each alone, as users build it: features of one backend must not change another.
for manifest in backends/*/Cargo.toml; do
  cargo build --quiet --release -p "backend-$(basename "$(dirname "$manifest")")"
done
python3 ci/cost/run.py "$tools" "$target/release" "$@"
