#!/usr/bin/env python3
"""Prints facts of this repository, one a line, so that no script repeats a list of names.

Usage:  ci/facts.py packages                  Cargo packages of the workspace
        ci/facts.py rows DRIVER [SYSTEM]      rows that run on DRIVER (default system: linux)
        ci/facts.py servers SYSTEM            packages of the rows on linux, macos or windows
        ci/facts.py flavors SYSTEM            rows there whose package has another one before them
        ci/facts.py waivers SYSTEM            package and example of each waiver's reproduction
        ci/facts.py lacks SYSTEM              and of each other one, of what a package lacks there
        ci/facts.py cells                     runner labels of the workflow's matrix
Needs:  Python 3.11; cargo for `packages`.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def registry():
    with open(ROOT / "backends" / "backends.toml", "rb") as file:
        return tomllib.load(file)


def packages():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return [package["name"] for package in json.loads(found.stdout)["packages"]]


def rows(driver, system="linux"):
    return [row["name"] for row in registry()["row"] if row["driver"].get(system) == driver]


def servers(system):
    return dict.fromkeys(row["package"] for row in registry()["row"] if system in row["driver"])


def flavors(system):
    there = [row for row in registry()["row"] if system in row["driver"]]
    first = {row["package"]: row["name"] for row in reversed(there)}
    return [row["name"] for row in there if row["name"] not in first.values()]


def waivers(system=None):
    package = {row["name"]: row["package"] for row in registry()["row"]}
    found = registry().get("waiver", [])
    return dict.fromkeys(
        f"{package[waiver['row']]} {pathlib.PurePath(waiver['reproduction']).stem}"
        for waiver in found
        if system in (None, waiver["os"])
    )


def lacks(system):
    """The examples of backends are reproductions; those of no waiver show what a runtime lacks."""
    found = (
        f"{package} {path.stem}"
        for package in servers(system)
        for path in (ROOT / "backends" / package.removeprefix("backend-")).glob("examples/*.rs")
    )
    return sorted(set(found) - set(waivers()))


def cells():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    return re.findall(r"^\s+- \{ os: ([\w.-]+),", workflow, re.MULTILINE)


def main():
    facts = {f.__name__: f for f in (packages, rows, servers, flavors, waivers, lacks, cells)}
    if len(sys.argv) < 2 or sys.argv[1] not in facts:
        sys.exit(__doc__)
    for line in facts[sys.argv[1]](*sys.argv[2:]):
        print(line)


main()
