#!/usr/bin/env bash
# Runs named steps, for .ci/run and ci/nightly, which source this file and say what their steps
# are. Each is a command or a script of ci/ that runs alone as well.
#
# Usage:  . ci/steps.sh [PREFIX]     and then
#           step NAME COMMAND...     runs the command if NAME begins with PREFIX. One that ends with
#                                    69 cannot run on this machine: it is listed as unavailable, and
#                                    with CI=true it is red. The first red step ends the run.
#           step_beside NAME COMMAND...   starts the command, and goes on to the next step; only for
#                                    one that nothing there needs, and beside which nothing is timed
#           join                     ends the steps that were started so: shows what they printed
#           finish                   prints the seconds and CPU seconds of each step
# Needs:  bash 3.2.
set -euo pipefail
exec </dev/null

prefix=${1:-}
times=$(mktemp)
beside=$(mktemp -d)
trap 'kill -- ${groups[@]+"${groups[@]}"} 2>/dev/null || true; rm -rf "$times" "$beside"' EXIT
table=()
started=()
groups=()

# Sets `cpu` to the CPU seconds of all commands that this shell has waited for.
count_cpu() {
  local user system time
  # Not in a subshell, which would count its own commands.
  times >"$times"
  { read -r user && read -r user system; } <"$times"
  cpu=0
  for time in "$user" "$system"; do
    time=${time%%[.,]*}
    cpu=$((cpu + 60 * ${time%m*} + ${time#*m}))
  done
}

# measure COMMAND...: sets `outcome` to the command's exit status, seconds and CPU seconds.
measure() {
  local status=0 before=$SECONDS cpu_before
  count_cpu
  cpu_before=$cpu
  "$@" || status=$?
  count_cpu
  outcome="$status $((SECONDS - before)) $((cpu - cpu_before))"
}

# close_step STATUS SECONDS CPU NAME: enters a step into the table, or ends the run.
close_step() {
  local word=ok
  if [ "$1" -eq 69 ] && [ "${CI:-}" != true ]; then
    word=unavailable
  elif [ "$1" -ne 0 ]; then
    printf '\n<== %s: red, exit status %d, after %d s\n' "$4" "$1" "$2"
    exit 1
  fi
  printf '<== %s: %d s\n' "$4" "$2"
  table+=("$(printf '%5d s %6d s of CPU  %-11s  %s' "$2" "$3" "$word" "$4")")
}

step() {
  [[ $1 == "$prefix"* ]] || return 0
  printf '\n==> %s: %s\n' "$1" "${*:2}"
  measure "${@:2}"
  # shellcheck disable=SC2086 # three numbers
  close_step $outcome "$1"
}

# Its files in $beside are NUMBER.log and NUMBER.outcome.
step_beside() {
  [[ $1 == "$prefix"* ]] || return 0
  local number=${#started[@]}
  started+=("$1")
  printf '\n==> %s, beside what follows: %s\n' "$1" "${*:2}"
  # A process group of its own, so that its end ends all that it has started.
  set -m
  {
    measure "${@:2}"
    echo "$outcome" >"$beside/$number.outcome"
  } >"$beside/$number.log" 2>&1 &
  groups+=("-$!")
  set +m
}

join() {
  wait
  local number
  for number in "${!started[@]}"; do
    printf '\n==> %s\n' "${started[$number]}"
    cat "$beside/$number.log"
    # shellcheck disable=SC2046 # three numbers
    close_step $(cat "$beside/$number.outcome") "${started[$number]}"
  done
  started=()
  groups=()
}

finish() {
  if [ "${#table[@]}" -eq 0 ]; then
    echo "no step begins with '$prefix'" >&2
    exit 2
  fi
  printf '\n'
  printf '%s\n' "${table[@]}"
  printf '\nThe five steps that took longest:\n'
  printf '%s\n' "${table[@]}" | sort -rn | sed -n 1,5p
  printf '\n%d min %d s in all\n' "$((SECONDS / 60))" "$((SECONDS % 60))"
}
