#!/usr/bin/env bash
# Checks the dependencies against deny.toml: bans, licences and sources, and, where the advisory
# database is at hand, known advisories. The database is fetched only on GitHub.
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
