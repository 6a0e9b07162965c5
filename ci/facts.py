#!/usr/bin/env python3
"""Prints facts of this repository, one a line, so that no script repeats a list of names.

Usage:  ci/facts.py packages                  Cargo packages of the workspace
        ci/facts.py tests PACKAGE             test targets that `cargo test` runs by default
        ci/facts.py rows DRIVER [SYSTEM]      rows that run on DRIVER (default system: linux)
        ci/facts.py servers SYSTEM            packages of the rows on linux, macos or windows
        ci/facts.py flavors SYSTEM            rows there whose package has another one before them
        ci/facts.py waivers SYSTEM            package and example of each waiver's reproduction
        ci/facts.py lacks SYSTEM              and of findings for which a row lacks something
        ci/facts.py findings SYSTEM           name, package, program and library of each one there
        ci/facts.py cells                     labels of the workflow's matrix
Needs:  Python 3.11, or 3.10 for `packages`, `tests` and `cells`; cargo for the first two.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def registry():
    import tomllib  # `tests` and `packages` also run on Python 3.10
    with open(ROOT / "backends" / "backends.toml", "rb") as file:
        return tomllib.load(file)


def metadata():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return json.loads(found.stdout)["packages"]


def packages():
    return [package["name"] for package in metadata()]


def tests(package):
    targets = next(found["targets"] for found in metadata() if found["name"] == package)
    return [target["name"] for target in targets if target["kind"] == ["test"] and target["test"]]


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


def reproductions(system):
    """Each finding that shows on a system, with the package and the program of its reproduction."""
    import tomllib
    with open(ROOT / "backends" / "findings.toml", "rb") as file:
        found = tomllib.load(file)["finding"]
    for finding in found:
        path = pathlib.PurePath(finding["reproduction"])
        package = f"backend-{path.parts[1]}" if path.parts[0] == "backends" else "upstream"
        if system in finding["systems"]:
            yield finding, f"{package} {path.stem}"


def lacks(system):
    return [where for finding, where in reproductions(system) if "lacks" in finding]


def findings(system):
    return [
        f"{finding['name']} {where} {finding['library'].split()[0]}"
        for finding, where in reproductions(system)
    ]


def cells():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    return re.findall(r"^\s+- \{ label: ([\w.-]+),", workflow, re.MULTILINE)


def main():
    known = (packages, tests, rows, servers, flavors, waivers, lacks, findings, cells)
    facts = {f.__name__: f for f in known}
    if len(sys.argv) < 2 or sys.argv[1] not in facts:
        sys.exit(__doc__)
    for line in facts[sys.argv[1]](*sys.argv[2:]):
        print(line)


main()
