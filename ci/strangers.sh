#!/usr/bin/env bash
# Judges servers that follow other people's documentation. The red cases must be those that
# proof/strangers/strangers.toml states, and the reproduction of each cause must show it. Installs
# what the servers need into target/, and writes docs/STRANGERS.md. Takes at most 1 min per server.
#
# Usage:  ci/strangers.sh [PROFILE] [NAME...]   default: profile default, every server
#         ci/strangers.sh --check               whether docs/STRANGERS.md is current; judges nothing
#         IOMATRIX=PROGRAM                      the judge; default: built from these sources
# Needs:  Linux; Python 3.11 with venv; npm, go, a JDK and cc (ci/setup.sh strangers); packages of
#         PyPI and npm, from the sources for which pip and npm are configured. If one is missing,
#         judges nothing and ends with 69.
set -euo pipefail
cd "$(dirname "$0")/.."
# Keeps Python's compiled files out of the folder of the programs.
export PYTHONDONTWRITEBYTECODE=1
if [ "${1:-}" = --check ]; then
  exec python3 proof/strangers/run.py check
fi
profile=${1:-default}
[ $# -eq 0 ] || shift
if [ "$(uname -s)" != Linux ]; then
  echo "strangers: the reproductions are written for Linux" >&2
  exit 69
fi
missing=()
for tool in python3 npm go java javac cc; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "strangers: not judged for want of ${missing[*]}" >&2
  exit 69
fi
target=${CARGO_TARGET_DIR:-target}
installed=$target/strangers
mkdir -p "$installed"

# lacks WHAT: ends the script because WHAT could not be installed.
lacks() {
  echo "strangers: not judged: cannot install $1" >&2
  exit 69
}

if ! "$installed/python/bin/python" -c '' 2>/dev/null; then
  python3 -m venv "$installed/python" || lacks "a virtual environment of Python"
fi
"$installed/python/bin/pip" install --quiet --disable-pip-version-check \
  --requirement proof/strangers/requirements.txt || lacks "proof/strangers/requirements.txt"
for version in 20.20.2 22.23.3; do
  folder=$installed/node${version%%.*}
  if [ "$("$folder/node_modules/node/bin/node" --version 2>/dev/null)" != "v$version" ]; then
    npm install --silent --no-fund --no-audit --no-save --prefix "$folder" "node@$version" ||
      lacks "node@$version from npm"
  fi
done
go build -o "$installed/go_copy" proof/strangers/servers/go_copy.go
javac -d "$installed/java" examples/java/EchoPlain.java
cc -std=c11 -O2 -o "$installed/echo_plain" examples/c/echo_plain.c

if [ -z "${IOMATRIX:-}" ]; then
  cargo build --quiet -p iomatrix
  IOMATRIX=$target/debug/iomatrix
fi
python3 proof/strangers/run.py judge "$IOMATRIX" "$installed" "$profile" "$@"
