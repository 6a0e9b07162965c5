#!/usr/bin/env bash
# Runs one cell of the OS matrix: prints what this host is and can do, then runs the test matrix.
#
# Usage:  ci/matrix.sh, with the cell in these variables:
#         CONFORMANCE_LABEL     name in the merged page; default: the operating system
#         CONFORMANCE_REQUIRE   drivers, separated by commas; red if the host lacks one
#         CONFORMANCE_OUTPUT    outputs such as json=FILE, separated by commas; FILE is relative to
#                               the root of the repository
#         GITHUB_STEP_SUMMARY   if set, a file that also gets the host's description and the page
# Needs:  cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests run in their package's folder, so relative paths begin there. On Windows, Git Bash would
# take a variable with two absolute paths for a list of Unix paths, and change it.
outputs=markdown=../target/matrix.md
IFS=, read -ra asked <<<"${CONFORMANCE_OUTPUT:-}"
for output in ${asked[@]+"${asked[@]}"}; do
  case ${output#*=} in
    /* | ?:*) ;;
    *)
      mkdir -p "$(dirname "${output#*=}")"
      output=${output%%=*}=../${output#*=}
      ;;
  esac
  outputs+=,$output
done
export CONFORMANCE_OUTPUT=$outputs
# Kernels before 5.12 charge rings to the memory lock limit, so raise it to its maximum.
if [ "$(uname -s)" = Linux ]; then
  ulimit -S -l "$(ulimit -H -l)"
  echo "memory lock limit: $(ulimit -l) KiB"
fi
uname -a
rustc --version --verbose

summary=${GITHUB_STEP_SUMMARY:-/dev/null}
cargo run --quiet -p iomatrix --all-features -- doctor --output markdown | tee -a "$summary"
mkdir -p target
rm -f target/matrix.md
trap 'cat target/matrix.md >>"$summary" 2>/dev/null || true' EXIT
# Only this test target: Cargo runs the others before it, and stops at the first one that is red.
cargo test -p conformance --features uring --test matrix
