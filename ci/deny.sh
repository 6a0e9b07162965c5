#!/usr/bin/env bash
# Checks the dependencies against deny.toml: bans, licences, sources, and advisories if the advisory
# database is present. The database is downloaded only on GitHub.
#
# Usage:  ci/deny.sh
# Needs:  cargo-deny (ci/setup.sh lint).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/tools/bin
cargo-deny check --deny unmatched-skip bans licenses sources
if [ "${GITHUB_ACTIONS:-}" = true ] && [ -z "${ACT:-}" ]; then
  cargo-deny check advisories
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/.git" >/dev/null; then
  cargo-deny --offline check advisories
else
  echo "deny: no advisory database here, so advisories are not checked"
fi
