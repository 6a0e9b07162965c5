#!/usr/bin/env bash
# Judges the example servers in other languages: the plain servers, which know nothing of the
# contract, at grade command, and the contract servers by every case. The cases that fail must be
# exactly those that examples/README.md says a language cannot pass.
#
# Usage:  ci/examples.sh [PROFILE]     default: quick
# Needs:  Python 3.11, and for each other language the tools that examples/README.md lists. If tools
#         are missing, judges the other languages, names the missing tools and ends with 69.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-quick}
built=target/examples
mkdir -p "$built"
cargo build --quiet -p iomatrix
missing=()

# judge GRADE COMMAND [CASE...]: judges a server; red unless exactly these cases fail.
judge() {
  local grade=$1 command=$2 result=$built/result.json page broken
  shift 2
  echo "examples: --$grade '$command'"
  # Otherwise the result of the previous server would be read if this one is not judged at all.
  rm -f "$result"
  # The exit status is ignored, because the cases are compared below.
  page=$(target/debug/iomatrix check --profile "$profile" --output text --output "json=$result" \
    "--$grade" "$command" 2>&1) || true
  if [ ! -s "$result" ]; then
    printf '%s\n' "$page"
    exit 1
  fi
  broken=$(python3 - "$result" <<'PYTHON'
import json, sys
with open(sys.argv[1]) as file:
    cells = json.load(file)["cells"]
fine = ("pass", "info", "unsupported", "unavailable")
print(*sorted(f"{c['suite']}/{c['case']}" for c in cells if c["verdict"] not in fine))
PYTHON
  )
  if [ "$broken" != "$*" ]; then
    printf '%s\n' "$page" "examples: not met: ${broken:-nothing}; expected: ${*:-nothing}"
    exit 1
  fi
  printf '%s\n' "$page" | tail -1
}

# language TOOL...: succeeds if all tools of a language are installed.
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
  judge command 'python3 examples/python/echo_plain.py {addr}'
  judge contract 'python3 examples/python/echo_contract.py'
fi
if language node; then
  judge command 'node examples/node/echo_plain.mjs {addr}'
  judge contract 'node examples/node/echo_contract.mjs' \
    life/few-descriptors tcp-accept/emfile-queues
fi
if language javac java; then
  # No -Werror: javac always warns about sun.misc.Signal, the only way to handle a second signal.
  javac -Xlint:all -d "$built/java" examples/java/*.java
  judge command "java -cp $built/java EchoPlain {addr}" life/descriptors-not-inherited
  judge contract "java -Xmx64m -cp $built/java EchoContract" \
    ip6/both-families-same-port ip6/dual-stack-as-asked life/descriptors-not-inherited \
    life/few-descriptors life/without-threads
fi
if [ "$(uname -s)" = Linux ] && language cc; then
  for program in echo_plain echo_contract; do
    cc -std=c11 -O2 -Wall -Wextra -Werror -o "$built/$program" "examples/c/$program.c"
  done
  judge command "$built/echo_plain {addr}"
  judge contract "$built/echo_contract"
fi
if [ "${#missing[@]}" -gt 0 ]; then
  echo "examples: not judged for want of ${missing[*]}" >&2
  exit 69
fi
