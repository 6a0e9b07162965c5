#!/usr/bin/env bash
# Checks the dependencies against the RustSec advisories. A new advisory can turn this check red
# although nothing changed here. So ci/nightly runs it, and .ci/run does not.
#
# Usage:  ci/advisories.sh
# Needs:  cargo-deny (ci/setup.sh lint), and a network or cargo-deny's copy of the advisory
#         database. Without either, ends with 69.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/tools/bin
if cargo-deny fetch db 2>/dev/null; then
  cargo-deny check advisories
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/.git" >/dev/null; then
  cargo-deny --offline check advisories
else
  echo "advisories: the advisory database cannot be fetched, and there is no copy of it" >&2
  exit 69
fi
