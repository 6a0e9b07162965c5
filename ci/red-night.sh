#!/usr/bin/env bash
# Opens an issue about a red night, or adds a comment to the one that is open. Does nothing if every
# job has succeeded.
#
# Usage:  NEEDS='{"proof": {"result": "failure"}}' ci/red-night.sh [--dry-run]
#         --dry-run     prints what it would do, and changes nothing
# Needs:  NEEDS, the workflow's `needs` context as JSON; Python 3. Without --dry-run also gh, with
#         GH_TOKEN, GITHUB_REPOSITORY, GITHUB_RUN_ID and GITHUB_SERVER_URL, as on GitHub.
set -euo pipefail
title="The nightly checks are red"
dry_run=
case ${1:-} in
  --dry-run) dry_run=yes ;;
  '') ;;
  *)
    echo "red-night: '$1' is no option; use --dry-run" >&2
    exit 2
    ;;
esac
red=$(python3 - "${NEEDS:?the needs context as JSON}" <<'PYTHON'
import json
import sys

for job, outcome in json.loads(sys.argv[1]).items():
    if outcome["result"] != "success":
        print(f"- {job}: {outcome['result']}")
PYTHON
)
if [ -z "$red" ]; then
  echo "red-night: every job has succeeded"
  exit
fi
repository=${GITHUB_SERVER_URL:-SERVER}/${GITHUB_REPOSITORY:-OWNER/REPOSITORY}
run=$repository/actions/runs/${GITHUB_RUN_ID:-RUN}
text="These jobs have not succeeded on $(date -u +%Y-%m-%d):

$red

$run"
if [ -n "$dry_run" ]; then
  printf 'red-night: would comment on the open issue "%s", or open it:\n\n%s\n' "$title" "$text"
  exit
fi
number=$(gh issue list --state open --search "in:title \"$title\"" --json number --jq '.[0].number')
if [ -n "$number" ]; then
  gh issue comment "$number" --body "$text"
else
  gh issue create --title "$title" --body "$text"
fi
