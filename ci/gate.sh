#!/usr/bin/env bash
# The only required check of the workflow: red unless every job that it needs has succeeded. A
# skipped or cancelled job has not succeeded.
#
# Usage:  NEEDS='{"lint": {"result": "success"}}' ci/gate.sh
# Needs:  NEEDS, the workflow's `needs` context as JSON; Python 3.
set -euo pipefail
python3 - "${NEEDS:?the needs context as JSON}" <<'PYTHON'
import json
import sys

needs = json.loads(sys.argv[1])
for job, outcome in needs.items():
    print(f"{outcome['result']:10} {job}")
sys.exit(not needs or any(outcome["result"] != "success" for outcome in needs.values()))
PYTHON
