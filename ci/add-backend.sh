#!/usr/bin/env bash
# Adds the backend of conformance/tests/fixtures/backend to a copy of this repository, builds, lists
# and judges it there, and runs the tidy test. The files that change must be exactly those that
# CONTRIBUTING.md lists for a backend.
#
# Usage:  ci/add-backend.sh
# Needs:  cargo, git, Python 3, tar; the workspace's dependencies, already downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
place=$root/target/add-backend
copy=$place/workspace
fixture=$copy/conformance/tests/fixtures/backend

rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | tar --null -cf - -T - | tar -xmf - -C "$copy"
cd "$copy"
# Cargo tells packages apart by their version. With another version, the copy can share a build
# directory with this workspace, in which their dependencies are built once.
sed -i.old 's/^version = .*/version = "0.0.0"/' Cargo.toml
rm Cargo.toml.old
cargo metadata --offline --format-version 1 >"$place/metadata.json"
git init --quiet
git add --all

mkdir backends/fixture
cp -R "$fixture/Cargo.toml" "$fixture/src" backends/fixture
cat "$fixture/row.toml" >>backends/backends.toml

(
  export CARGO_BUILD_BUILD_DIR=${CARGO_TARGET_DIR:-$root/target}
  export CARGO_TARGET_DIR=$place/target CARGO_NET_OFFLINE=true
  cargo build --quiet -p backend-fixture
  ci/generate.sh rows
  cargo fmt --all --check
  cargo run --quiet -p iomatrix -- check --row fixture --suite tcp-echo --profile quick
)
cd "$root"
TIDY_ROOT=$copy cargo test --quiet -p conformance --features uring --test tidy

# shellcheck disable=SC2016  # a backtick is meant
listed=$(sed -n '/^## Add a backend/,/^## Add an/p' CONTRIBUTING.md |
  sed -n 's/^| `\([^`]*\)`.*/\1/p' | sed 's/NAME/fixture/' | sort)
changed=$({
  git -C "$copy" diff --name-only
  git -C "$copy" ls-files --others --exclude-standard
} | sed 's,^\(backends/fixture/\).*,\1,' | sort -u)
if [ "$changed" != "$listed" ]; then
  echo "add-backend: CONTRIBUTING.md lists other files (<) than a new backend changes (>):" >&2
  diff <(echo "$listed") <(echo "$changed") >&2
  exit 1
fi
echo "add-backend: nothing changed but ${changed//$'\n'/, }"
