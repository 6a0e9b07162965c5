#!/usr/bin/env bash
# Checks the dependencies against deny.toml: bans, licences and sources. ci/advisories.sh checks
# advisories, which can turn red without a change here.
#
# Usage:  ci/deny.sh
# Needs:  cargo-deny (ci/setup.sh lint).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/tools/bin
cargo-deny check --deny unmatched-skip bans licenses sources
