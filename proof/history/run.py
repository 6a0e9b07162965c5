#!/usr/bin/env python3
"""Judges the servers of bugs.toml: each red on the version that has the bug, green on the other.

Usage:  proof/history/run.py JUDGE TARGET [NAME...]   default: every bug
        proof/history/run.py table                    the bugs as a table in Markdown
        JUDGE   the program iomatrix
        TARGET  the folder into which red/ and green/ were built
Needs:  Python 3.11 on Linux.
"""

import json
import pathlib
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent


def bugs():
    with open(HERE / "bugs.toml", "rb") as file:
        return tomllib.load(file)["bug"]


def versions(bug):
    """Package and version on each side."""
    return {"red": bug["red"], "green": bug.get("green", bug["red"])}


def unlocked(bug):
    """Yields the versions that bugs.toml states and that the lock files lack."""
    for side, stated in versions(bug).items():
        name, version = stated.split()
        apart = HERE / side / bug["name"] / "Cargo.lock"
        lock = apart if apart.exists() else HERE / side / "Cargo.lock"
        with open(lock, "rb") as file:
            packages = tomllib.load(file)["package"]
        if not any((one["name"], one["version"]) == (name, version) for one in packages):
            yield f"{stated} is not in {lock.relative_to(HERE)}"


def judged(judge, target, side, bug):
    """Judges one server, and returns the cell of the bug's case."""
    program = target / side / "debug" / bug["name"]
    command = [judge, "check", "--case", bug["case"], "--repeat", str(bug.get("repeat", 1))]
    command += ["--output", "json"]
    if bug.get("contract"):
        command += ["--contract", str(program)]
    else:
        command += ["--command", f"{program} {{addr}}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        (cell,) = json.loads(ran.stdout)["cells"]
    except (ValueError, KeyError) as error:
        sys.exit(f"{bug['name']}: {' '.join(command)}: {error}\n{ran.stderr}")
    return cell


def found(cell):
    """The kind of the failure, or the verdict if nothing failed."""
    return cell["failure"]["kind"] if cell["failure"] else cell["verdict"]


def judge_all(judge, target, names):
    chosen = [bug for bug in bugs() if not names or bug["name"] in names]
    if not chosen:
        sys.exit(f"no bug is named so; there are: {', '.join(bug['name'] for bug in bugs())}")
    counts = {"as expected": 0, "unavailable": 0, "NOT AS EXPECTED": 0}
    wide = "{:<17} {:<18} {:<36} {:<12} {:>6}  {}"
    print(wide.format("upstream", "version", "case", "found", "s", "verdict"))
    for bug in chosen:
        for problem in unlocked(bug):
            sys.exit(f"{bug['name']}: {problem}")
        for side, version in versions(bug).items():
            started = time.monotonic()
            cell = judged(judge, target, side, bug)
            seconds = time.monotonic() - started
            kind = found(cell)
            expected = bug["failure"] if side == "red" else "pass"
            verdict = "as expected" if kind == expected else "NOT AS EXPECTED"
            if cell["verdict"] == "unavailable":
                verdict = "unavailable"
            counts[verdict] += 1
            changed = "" if side == "red" or "green" in bug else "*"
            line = wide.format(
                bug["upstream"], version + changed, bug["case"], kind, f"{seconds:.1f}", verdict
            )
            print(line, flush=True)
            if verdict != "as expected":
                print(json.dumps({key: cell[key] for key in ("failure", "reason", "stderr_tail")}))
    print("* the same version, and a server that does something else instead")
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["NOT AS EXPECTED"] else 0


def table():
    print("| bug | what was wrong | red on | found by | as | green on |")
    print("| --- | --- | --- | --- | --- | --- |")
    for bug in bugs():
        green = bug.get("green") or f"the same; the server {bug['instead']}"
        case = f"`{bug['case']}`"
        row = (bug["upstream"], bug["wrong"], bug["red"], case, bug["failure"], green)
        print(f"| {' | '.join(row)} |")


def main():
    match sys.argv[1:]:
        case ["table"]:
            table()
        case [judge, target, *names]:
            sys.exit(judge_all(judge, pathlib.Path(target).resolve(), names))
        case _:
            sys.exit(__doc__)


main()
