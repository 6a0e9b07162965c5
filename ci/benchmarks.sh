#!/usr/bin/env bash
# Benchmarks the code through which every byte goes: how the generator makes and compares messages,
# its loop, and the judge's check of stamps. Times differ between hosts, so the limits apply to the
# ratio to a copy or a comparison of as many bytes in the same run. The programs are built in the
# dev profile, like the judge when it judges; this profile also optimises the generator. Prints a
# Markdown table.
#
# Usage:  ci/benchmarks.sh [CRITERION'S ARGUMENTS...]
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- --warm-up-time 0.2 --measurement-time 0.5 --noplot
export CRITERION_HOME=${CARGO_TARGET_DIR:-target}/criterion
# `--bench` tells criterion to measure.
for program in generator stamps; do
  cargo run --quiet -p benchmarks --bin "$program" -- --bench "$@" >&2
done
python3 ci/benchmarks.py "$CRITERION_HOME"
