"""Prints ratios of benchmarks from criterion's results; see ci/benchmarks.sh."""

import json
import sys
from pathlib import Path

# A benchmark, its baseline, and how many times as long as the baseline it may take. A limit is
# twice the ratio on a quiet host: load from neighbours stays below it, a loop over bytes does not.
LIMITS = [
    ("message-64/fill", "message-64/copy", 60),
    ("message-1024/fill", "message-1024/copy", 18),
    ("message-65536/fill", "message-65536/copy", 4),
    ("message-64/check", "message-64/compare", 40),
    ("message-1024/check", "message-1024/compare", 18),
    ("message-65536/check", "message-65536/compare", 4),
    ("stream-64/check", "stream-64/compare", 140),
    ("stream-1024/check", "stream-1024/compare", 90),
    ("stream-65536/check", "stream-65536/compare", 90),
]

folder = Path(sys.argv[1])


def nanoseconds(name):
    estimates = json.loads((folder / name / "new" / "estimates.json").read_text())
    return estimates["median"]["point_estimate"]


is_red = False
print("| what | ns | beside | ratio | limit |\n| --- | --- | --- | --- | --- |")
for name, base, limit in LIMITS:
    ratio = nanoseconds(name) / nanoseconds(base)
    is_red |= ratio > limit
    print(f"| {name} | {nanoseconds(name):.0f} | {base} | {ratio:.1f} | {limit} |")
print(f"\n{nanoseconds('load/messages') / 20_000:.0f} ns for each message of a whole load.")
sys.exit(1 if is_red else 0)
