#!/usr/bin/env bash
# Benchmarks what every byte goes through: the generator's making and comparing of messages and its
# loop, and the judge's check of stamps. Times differ from host to host, so what is judged is the
# ratio to a copy or a comparison of as many bytes in the same run. Built as the judge is when it
# judges, in the profile for development, in which the generator is optimised too. Prints a Markdown
# table.
#
# Usage:  ci/benchmarks.sh [CRITERION'S ARGUMENTS...]
# Needs:  cargo; Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- --warm-up-time 0.2 --measurement-time 0.5 --noplot
export CRITERION_HOME=${CARGO_TARGET_DIR:-target}/criterion
# In the profile for development; `--bench` tells criterion to measure.
for program in generator stamps; do
  cargo run --quiet -p benchmarks --bin "$program" -- --bench "$@" >&2
done
python3 ci/benchmarks.py "$CRITERION_HOME"
