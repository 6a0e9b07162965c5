#!/usr/bin/env bash
# Compares the load generator on this host with a client in C that uses epoll: messages per second
# and CPU time per message on one CPU, in interleaved rounds. Also measures how long it takes to
# open 10,000 connections, the send lag in an open loop of 20,000 messages per second, and the floor
# in Rust against the floor in C. Prints a Markdown table; red if a goal is missed.
#
# Usage:  ci/generator.sh
# Needs:  an idle Linux host with two CPUs; cargo, a C compiler, Python 3.11, taskset. It is a step
#         of ci/nightly.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -s)" != Linux ]; then
  echo "generator: processes are pinned with taskset, which is Linux's" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-target}
tools=$target/yardstick
mkdir -p "$tools"
for tool in floor load; do
  cc -std=c11 -O2 -Wall -Wextra -Werror -o "$tools/$tool" "ci/yardstick/$tool.c"
done
cargo build --quiet --release -p iomatrix
cargo build --quiet --release -p backend-mio
cargo build --quiet --release -p loadgen --example floor
python3 ci/yardstick/run.py "$tools" "$target/release"
