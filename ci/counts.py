"""Compares the counts of benches with the table of docs/METHODOLOGY.md; see ci/counts.sh.

Usage:  ci/counts.py rows calls          the table's rows whose system calls are compared
        ci/counts.py rows submissions    the table's rows on a ring
        ci/counts.py compare FILE...     compares the benches in these files
"""

import json
import pathlib
import statistics
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "METHODOLOGY.md"
CALLS, SUBMISSIONS, MEMORY = (
    "system calls per message", "submissions per message", "KiB per idle connection"
)
# How far a count may be from the table's: a part of it, plus a constant. How many messages a call
# finds depends a little on the load, and what an allocator needs per connection on its history.
TOLERANCES = {CALLS: (0.15, 0.05), SUBMISSIONS: (0.05, 0.02), MEMORY: (0.2, 0.3)}


def table():
    """The counts of each row. Those that are compared only within a bench are left out."""
    lines = iter(TABLE.read_text().splitlines())
    names = next(cells(line) for line in lines if line.startswith("| row | ") and CALLS in line)
    next(lines)
    counts = {}
    for line in lines:
        if not line.startswith("|"):
            return counts
        row = dict(zip(names, cells(line), strict=True))
        # On a ring, the number of calls shows how long the server was kept from its CPU.
        unused = CALLS if row[SUBMISSIONS] != "-" else SUBMISSIONS
        counts[row["row"].strip("`")] = {
            name: float(row[name]) for name in TOLERANCES if name != unused
        }


def rows_of_linux():
    with open(ROOT / "backends" / "backends.toml", "rb") as file:
        return [row["name"] for row in tomllib.load(file)["row"] if "linux" in row["driver"]]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def measured(row):
    """The counts that a bench has of a row. `None` stands for a count that it does not have."""
    samples = [
        number(sample["server"]["submissions"]) for sample in row["samples"]
        if sample["measurement"]["validity"]["state"] == "valid"
    ]
    submissions = [sample for sample in samples if sample is not None]
    memory = number(row["idle_connection_bytes"])
    return {
        CALLS: number(row["system_calls"]),
        SUBMISSIONS: statistics.median(submissions) if submissions else None,
        MEMORY: memory / 1024 if memory is not None else None,
    }


def number(value):
    """A number, or `None` if a bench says why it has none."""
    return value if isinstance(value, (int, float)) else None


def compare(files):
    rows = {}
    for file in files:
        bench = json.loads(pathlib.Path(file).read_text())
        rows.update({row["name"]: measured(row) for row in bench["rows"]})
    lacking = [row for row in rows_of_linux() if row not in table()]
    is_red = len(lacking) > 0
    for row in lacking:
        print(f"{row} is not in the table of docs/METHODOLOGY.md")
    print("| row | count | table | measured | |\n| --- | --- | --- | --- | --- |")
    for row, counts in table().items():
        for name, expected in counts.items():
            part, constant = TOLERANCES[name]
            found = rows.get(row, {}).get(name)
            is_right = found is not None and abs(found - expected) <= expected * part + constant
            is_red |= not is_right
            shown = "no data" if found is None else f"{found:.2f}"
            print(f"| {row} | {name} | {expected} | {shown} | {'' if is_right else 'RED'} |")
    return 1 if is_red else 0


match sys.argv[1:]:
    case ["rows", kind]:
        wanted = {"calls": CALLS, "submissions": SUBMISSIONS}[kind]
        print(",".join(row for row, counts in table().items() if wanted in counts))
    case ["compare", *files]:
        sys.exit(compare(files))
    case _:
        sys.exit(__doc__)
