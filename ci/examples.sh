#!/usr/bin/env bash
# Judges the example servers in other languages by a command alone: the plain ones, which know
# nothing of the contract, and those that speak it.
#
# Usage:  ci/examples.sh [PROFILE]     default: quick
# Needs:  for each language what examples/README.md says. Ends with 69, naming those that are
#         missing, after the others have been judged.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-quick}
built=target/examples
mkdir -p "$built"
cargo build --quiet -p iomatrix
missing=()

# judge COMMAND: red unless the server is certified.
judge() {
  echo "examples: $1"
  local page
  if ! page=$(target/debug/iomatrix check --profile "$profile" --command "$1" 2>&1); then
    printf '%s\n' "$page"
    exit 1
  fi
  printf '%s\n' "$page" | tail -1
}

# language TOOL...: whether all of its tools are here.
language() {
  local tool
  for tool in "$@"; do
    if ! command -v "$tool" >/dev/null; then
      missing+=("$tool")
      return 1
    fi
  done
}

if language python3; then
  judge 'python3 examples/python/echo_plain.py {addr}'
  judge 'python3 examples/python/echo_contract.py --listen tcp:{addr}'
fi
if language node; then
  judge 'node examples/node/echo_plain.mjs {addr}'
  judge 'node examples/node/echo_contract.mjs --listen tcp:{addr}'
fi
if language javac java; then
  # No -Werror: javac warns of sun.misc.Signal, the one way to a second signal, whatever is asked.
  javac -Xlint:all -d "$built/java" examples/java/*.java
  judge "java -Xmn4m -cp $built/java EchoPlain {addr}"
  judge "java -Xmn4m -cp $built/java EchoContract --listen tcp:{addr}"
fi
if [ "$(uname -s)" = Linux ] && language cc; then
  for program in echo_plain echo_contract; do
    cc -std=c11 -O2 -Wall -Wextra -Werror -o "$built/$program" "examples/c/$program.c"
  done
  judge "$built/echo_plain {addr}"
  judge "$built/echo_contract --listen tcp:{addr}"
fi
if [ "${#missing[@]}" -gt 0 ]; then
  echo "examples: not judged for want of ${missing[*]}" >&2
  exit 69
fi
