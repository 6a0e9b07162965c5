"""Prints the table of platforms of README.md: `systems.py RESULT.json...`."""

import json
import sys
from collections import Counter

# What ci/cross-check.sh lints.
CHECKED = [("macos", "aarch64"), ("windows", "x86_64")]
RED = ("fail", "crash", "timeout", "error")


def way(label, host):
    """How the rows ran there."""
    hint = (host["virtualisation"] or {}).get("name", "")
    if hint == "wine":
        return "Windows programs under wine"
    if "TCG" in hint:
        return "emulated"
    if label.endswith("-denied"):
        return "run, with io_uring denied"
    if label.endswith("-narrow"):
        return "run, with the limits of macOS"
    return "run"


def main():
    print("| system | kernel | how | profile | rows | cells | judged | red |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    seen = set()
    for file in sys.argv[1:]:
        with open(file, encoding="utf-8") as text:
            run = json.load(text)
        seen.add(run["host"]["os"])
        host, cells = run["host"], run["cells"]
        verdicts = Counter(cell["verdict"] for cell in cells)
        judged = [cell for cell in cells if cell["verdict"] not in ("unavailable", "unsupported")]
        rows = len({cell["row"] for cell in judged})
        red = sum(verdicts[verdict] for verdict in RED)
        system = f"{host['os']} {host['arch']}"
        print(f"| {system} | {host['kernel']} | {way(run['label'], host)} | {run['profile']} |"
              f" {rows} | {len(cells):,} | {len(judged):,} | {red} |")
    for system, arch in CHECKED:
        if system not in seen:
            print(f"| {system} {arch} | - | checked only: types and lints | - | - | - | - | - |")
    print()


main()
