#!/usr/bin/env bash
# Writes the documents that are generated from the registry, the suites and the mutants.
#
# Usage:  ci/generate.sh [DOCUMENT...]    default: all of them
#         rows      the rows in README.md, from backends/backends.toml
#         cases     docs/CASES.md, from the suites, their pages and the mutants
#         upstream  docs/UPSTREAM.md, from backends/findings.toml
#         mutants   docs/MUTANTS.md, from proof/mutant; keeps the column of other red cases
# Needs:  cargo; Python 3 for `rows`.
set -euo pipefail
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT
iomatrix() { cargo run --quiet -p iomatrix -- "$@" >"$new"; }

[ $# -gt 0 ] || set -- rows cases upstream mutants
for document in "$@"; do
  case $document in
    rows)
      iomatrix list --output markdown
      python3 ci/place.py README.md rows "$new"
      ;;
    cases)
      iomatrix explain --output markdown
      cp "$new" docs/CASES.md
      ;;
    upstream)
      iomatrix list --findings --output markdown
      cp "$new" docs/UPSTREAM.md
      ;;
    mutants)
      KILL_MATRIX=docs/MUTANTS.md cargo test --quiet -p conformance --features uring \
        --test mutants -- kill-matrix-is-current
      ;;
    *)
      echo "generate: no document is called '$document'; there are: rows cases upstream mutants" >&2
      exit 2
      ;;
  esac
done
