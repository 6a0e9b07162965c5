#!/usr/bin/env bash
# What the load generator reaches on this host, beside a client in C that uses epoll itself:
# messages a second and CPU time a message on one CPU, in interleaved rounds; how soon it has
# 10,000 connections; its send lag in an open loop of 20,000 messages a second; and the floor in
# Rust beside the floor in C. Prints a Markdown table; red when a goal is missed.
#
# Usage:  ci/generator.sh
# Needs:  Linux with two CPUs and nothing else to do; cargo, a C compiler, Python 3.11, taskset.
#         It is a step of ci/nightly.
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
