#!/usr/bin/env bash
# Builds the servers that exist on Windows and the test matrix as Windows programs, and runs the
# matrix under wine. Good evidence of behaviour, no proof, and never a source of timings.
#
# Usage:  ci/wine.sh                                   the first row of each package, but not mio's
#                                                      and async-std's
#         ci/wine.sh ARGUMENTS OF THE TEST MATRIX...   e.g. ci/wine.sh smol-per-core::, and
#                                                      ci/wine.sh :: for every row
#         CONFORMANCE_PROFILE (default quick) and the other CONFORMANCE_ variables are passed on.
# Needs:  ci/setup.sh wine (Debian 12); Python 3.11. Ends with 69 without.
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

# std takes its hash seeds from bcryptprimitives.dll, which wine 8 lacks: without a stand-in every
# program ends at once, silently, with status 53.
prepare_wine() {
  mkdir -p "$WINEPREFIX"
  # Started here, because what it says when it ends would follow the tests' summary. It fails where
  # one runs already.
  wineserver --persistent=600 >/dev/null 2>&1 || true
  trap 'wineserver --kill || true' EXIT
  [ -d "$WINEPREFIX/drive_c" ] || timeout 300 wine wineboot --init >/dev/null 2>&1 || true
  local dll=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
  [ -e "$dll" ] || x86_64-w64-mingw32-gcc -shared -o "$dll" ci/wine-random.c -ladvapi32
}

# windows COMMAND ARGUMENTS...: Debian's cargo, with a standard library built for the target.
# Optimising what is below our own packages would take longer than the tests that it speeds up.
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
# Each alone, as users build it: features of one backend must not change another.
for package in $packages; do windows build -p "$package"; done
windows test --no-run -p conformance --test matrix
echo "wine: built in $((SECONDS - before)) s"
waivers=$(python3 ci/facts.py waivers wine)
while read -r package example; do
  [ -z "$package" ] || windows run -p "$package" --example "$example"
done <<<"$waivers"
while read -r _ package example; do windows run -p "$package" --example "$example"; done \
  < <(python3 ci/facts.py findings windows)
# An absolute Unix path is one on the current drive, and that is Z:, the root of this machine.
export CONFORMANCE_BIN_DIR=$out/$triple/debug CONFORMANCE_PROFILE=${CONFORMANCE_PROFILE:-quick}
if [ $# -eq 0 ]; then
  # Nothing runs side by side here, and flavors of one runtime differ little in what they call.
  # What mio calls, Tokio calls too, and what async-std calls, smol: they have the same pollers.
  set -- --skip mio:: --skip async-std::
  for row in $(python3 ci/facts.py flavors windows); do set -- "$@" --skip "$row::"; done
fi
# matrix ARGUMENTS...: one cell after another. Side by side they would judge the one thread that
# answers for the sockets of all programs.
matrix() {
  windows test -p conformance --test matrix -- --test-threads=1 "$@"
}

# timeouts: the cells that timed out, if those are all that is red, and few.
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

# In about one of four whole runs, one connection of one cell stands still, on rows that differ:
# wine has lost an event. A backend that loses events times out here again.
result=$out/result.json
rm -f "$result"
export CONFORMANCE_OUTPUT=${CONFORMANCE_OUTPUT:+$CONFORMANCE_OUTPUT,}json=$result
status=0
matrix "$@" || status=$?
if [ "$status" -ne 0 ] && [ -s "$result" ] && again=$(timeouts) && [ -n "$again" ]; then
  status=0
  for cell in $again; do
    echo "wine: $cell timed out and is judged three times more"
    for _ in 1 2 3; do
      CONFORMANCE_OUTPUT=json=$result matrix --exact "$cell" || status=$?
    done
  done
fi
exit "$status"
