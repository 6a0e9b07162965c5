#!/usr/bin/env bash
# Runs named steps. .ci/run and ci/nightly source this file and call its functions for their steps.
# Each step is a command or a script of ci/ that can also run alone.
#
# Usage:  . ci/steps.sh [PREFIX]     and then
#           step NAME COMMAND...     runs the command if NAME begins with PREFIX. A command that
#                                    ends with 69 cannot run on this machine: the step is listed
#                                    as unavailable, and with CI=true it is red. The first red step
#                                    ends the run.
#           step_beside NAME COMMAND...   starts the command, and runs the next steps meanwhile.
#                                    Only for a command that no step before `join` needs, and only
#                                    next to steps that measure no time.
#           join                     waits for these commands, and prints their output
#           finish                   prints the seconds and CPU seconds of each step
# Needs:  bash 3.2.
set -euo pipefail
exec </dev/null

prefix=${1:-}
work=$(mktemp -d)
trap 'end_beside; rm -rf "$work"' EXIT
table=()
begun=0
beside=()

# Ends the commands that still run next to the steps, and all processes that they have started.
end_beside() {
  local job
  for job in $(jobs -pr); do kill -- "-$job" 2>/dev/null || true; done
}

# measure FILE COMMAND...: runs the command, and writes its exit status, seconds and CPU seconds
# into FILE. It is a subshell, so that it counts the CPU time of this command alone.
measure() (
  local file=$1 status=0 before=$SECONDS cpu=0 user system time
  shift
  "$@" || status=$?
  times >"$file.times"
  { read -r user && read -r user system; } <"$file.times"
  for time in "$user" "$system"; do
    time=${time%%[.,]*}
    cpu=$((cpu + 60 * ${time%m*} + ${time#*m}))
  done
  echo "$status $((SECONDS - before)) $cpu" >"$file"
)

# outcome FILE: prints what `measure` has written into FILE, or a red outcome if it did not finish.
outcome() {
  cat "$1" 2>/dev/null || echo 1 0 0
}

# close_step STATUS SECONDS CPU NAME: adds a step to the table, or ends the run if the step is red.
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
  begun=$((begun + 1))
  measure "$work/$begun" "${@:2}" || true
  # shellcheck disable=SC2046 # three numbers
  close_step $(outcome "$work/$begun") "$1"
}

step_beside() {
  [[ $1 == "$prefix"* ]] || return 0
  printf '\n==> %s, beside what follows: %s\n' "$1" "${*:2}"
  begun=$((begun + 1))
  beside+=("$begun $1")
  # The command gets its own process group, so that all processes that it starts can be ended.
  set -m
  measure "$work/$begun" "${@:2}" >"$work/$begun.log" 2>&1 &
  set +m
}

join() {
  wait
  local entry
  for entry in ${beside[@]+"${beside[@]}"}; do
    printf '\n==> %s\n' "${entry#* }"
    cat "$work/${entry%% *}.log"
    # shellcheck disable=SC2046 # three numbers
    close_step $(outcome "$work/${entry%% *}") "${entry#* }"
  done
  beside=()
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
