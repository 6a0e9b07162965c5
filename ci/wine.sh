#!/usr/bin/env bash
# Builds the servers that exist on Windows and the test matrix as Windows programs, and runs the
# matrix under wine. This is evidence of behaviour on Windows, but no proof, and gives no timings.
#
# Usage:  ci/wine.sh                                   one row on AFD polling and one on
#                                                      completion ports
#         ci/wine.sh ARGUMENTS OF THE TEST MATRIX...   such as ci/wine.sh smol-per-core::, or
#                                                      ci/wine.sh :: for every row
#         CONFORMANCE_PROFILE (default quick) and the other CONFORMANCE_ variables are passed on.
#         Writes target/systems/wine.json, which ci/systems.sh merges.
# Needs:  ci/setup.sh wine (Debian 12); Python 3.11. Without these packages, ends with 69.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in wine x86_64-w64-mingw32-gcc; do
  if ! command -v "$program" >/dev/null || [ ! -d /usr/lib/rustlib/src/rust/library/std ]; then
    echo "wine: needs wine, mingw and Debian's Rust with its source; run ci/setup.sh wine" >&2
    exit 69
  fi
done

out=$PWD/target/wine
triple=x86_64-pc-windows-gnu
export WINEPREFIX=$out/prefix WINEARCH=win64 WINEDEBUG=${WINEDEBUG:--all}

# Rust's std takes its hash seeds from bcryptprimitives.dll, which wine 8 lacks. Without a
# replacement, every program ends at once with status 53, and prints nothing.
prepare_wine() {
  mkdir -p "$WINEPREFIX"
  # Starts wineserver here: a wineserver that wine starts would print its last lines after the
  # tests' summary. This fails if a wineserver already runs.
  wineserver --persistent=600 >/dev/null 2>&1 || true
  trap 'wineserver --kill || true' EXIT
  [ -d "$WINEPREFIX/drive_c" ] || timeout 300 wine wineboot --init >/dev/null 2>&1 || true
  local dll=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
  [ -e "$dll" ] || x86_64-w64-mingw32-gcc -shared -o "$dll" ci/wine-random.c -ladvapi32
}

# windows COMMAND ARGUMENTS...: runs Debian's cargo, with a standard library that is built for the
# target. Dependencies are not optimised: that would take longer than it saves in the tests.
windows() {
  local command=$1
  shift
  PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1 CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine \
    cargo "$command" --quiet -Z build-std=std,panic_unwind,proc_macro,test --target "$triple" \
    --config 'profile.dev.package."*".opt-level=0' --config profile.dev.debug=0 \
    --target-dir "$out" "$@"
}

prepare_wine
packages=$(python3 ci/facts.py servers windows)
before=$SECONDS
# Builds each package alone, as users do: the features of one backend must not change another.
for package in $packages; do windows build -p "$package"; done
windows test --no-run -p conformance --test matrix
echo "wine: built in $((SECONDS - before)) s"
waivers=$(python3 ci/facts.py waivers wine)
while read -r package example; do
  [ -z "$package" ] || windows run -p "$package" --example "$example"
done <<<"$waivers"
while read -r _ package example _; do windows run -p "$package" --example "$example"; done \
  < <(python3 ci/facts.py findings windows)
# Windows programs look for an absolute Unix path on the current drive, which is Z:, the root of
# this machine.
export CONFORMANCE_BIN_DIR=$out/$triple/debug CONFORMANCE_PROFILE=${CONFORMANCE_PROFILE:-quick}
export CONFORMANCE_LABEL=${CONFORMANCE_LABEL:-wine}
if [ $# -eq 0 ]; then
  # Cells run one at a time here, so similar rows are left out. Flavors of one runtime make almost
  # the same system calls, mio has the same poller as Tokio, smol and async-std poll by AFD as mio
  # does, and threads make the plain calls that the other rows make as well. ci/nightly runs all.
  set -- --skip mio:: --skip smol:: --skip async-std:: --skip threads::
  for row in $(python3 ci/facts.py flavors windows); do set -- "$@" --skip "$row::"; done
fi
# matrix ARGUMENTS...: runs the test matrix, one cell at a time. In parallel, the cells would judge
# wineserver, whose single thread serves the sockets of all programs.
matrix() {
  windows test -p conformance --test matrix -- --test-threads=1 "$@"
}

# timeouts: prints the cells that timed out, if there are at most two and no other cell is red.
timeouts() {
  python3 - "$result" <<'PYTHON'
import json, sys
with open(sys.argv[1]) as file:
    cells = json.load(file)["cells"]
fine = ("pass", "miss", "info", "unsupported", "unavailable")
red = [cell for cell in cells if cell["verdict"] not in fine]
if 0 < len(red) <= 2 and all(cell["verdict"] == "timeout" for cell in red):
    print(*(f"{cell['row']}::{cell['suite']}::{cell['case']}" for cell in red), sep="\n")
PYTHON
}

# In about one of four complete runs, one connection of one cell hangs, on a different row each
# time: wine has lost an event. If a backend loses events, its cell times out again below.
result=$PWD/target/systems/wine.json
mkdir -p target/systems
rm -f "$result"
export CONFORMANCE_OUTPUT=${CONFORMANCE_OUTPUT:+$CONFORMANCE_OUTPUT,}json=$result
status=0
matrix "$@" || status=$?
if [ "$status" -ne 0 ] && [ -s "$result" ] && again=$(timeouts) && [ -n "$again" ]; then
  status=0
  for cell in $again; do
    echo "wine: $cell timed out and is judged three times more"
    for _ in 1 2 3; do
      CONFORMANCE_OUTPUT=json=$out/again.json matrix --exact "$cell" || status=$?
    done
  done
fi
exit "$status"
