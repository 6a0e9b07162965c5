#!/usr/bin/env bash
# One cell of the OS matrix: says what this host is and can do, then runs the test matrix.
#
# Usage:  ci/matrix.sh, with what the cell is in variables
#         CONFORMANCE_LABEL     its name in the merged page, else the operating system
#         CONFORMANCE_REQUIRE   drivers, with commas between; one that the host lost is red
#         CONFORMANCE_OUTPUT    what is written, such as json=FILE, with commas between; a FILE is a
#                               path from the root of the repository
#         GITHUB_STEP_SUMMARY   also gets the host's description, where set
# Needs:  cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests run in their package's folder, so the path has to be absolute, and on Windows it has to be
# one that a Windows program understands: `pwd -W` exists there only.
if [ -n "${CONFORMANCE_OUTPUT:-}" ]; then
  root=$(pwd -W 2>/dev/null || pwd)
  outputs=
  IFS=, read -ra asked <<<"$CONFORMANCE_OUTPUT"
  for output in "${asked[@]}"; do
    case ${output#*=} in
      /* | ?:*) ;;
      *) output=${output%%=*}=$root/${output#*=} ;;
    esac
    outputs+=${outputs:+,}$output
  done
  export CONFORMANCE_OUTPUT=$outputs
fi
# Kernels before 5.12 charge rings to the memory lock limit; raise it as far as it goes.
if [ "$(uname -s)" = Linux ]; then
  ulimit -S -l "$(ulimit -H -l)"
  echo "memory lock limit: $(ulimit -l) KiB"
fi
uname -a
rustc --version

cargo run --quiet -p iomatrix --all-features -- doctor --output markdown |
  tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
cargo test -p conformance --features uring
