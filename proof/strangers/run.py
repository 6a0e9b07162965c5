#!/usr/bin/env python3
"""Judges the servers of strangers.toml and compares what is red with the causes stated there.

Usage:  proof/strangers/run.py judge JUDGE INSTALLED PROFILE [NAME...]   default: every server
        proof/strangers/run.py check
        JUDGE      the program iomatrix
        INSTALLED  the folder into which ci/strangers.sh installed what the servers need
        judge      judges, runs the reproductions, and writes docs/STRANGERS.md as soon as every
                   server has a result of this profile in INSTALLED/results, from this run or before
        check      whether docs/STRANGERS.md says what strangers.toml says; judges nothing
Needs:  Python 3.11; Linux to judge.
"""

import fnmatch
import json
import pathlib
import shlex
import socket
import string
import subprocess
import sys
import time
import tomllib

import page

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FINE = ("pass", "info", "unsupported", "unavailable")
START_SECONDS = 30
REPRODUCTION_SECONDS = 60
REPRODUCTION_LINES = 20


def read_table():
    with open(HERE / "strangers.toml", "rb") as file:
        return tomllib.load(file)


def expand(words, installed):
    return string.Template(words).substitute(installed=installed, here=HERE, root=ROOT)


def judge(program, installed, profile, server):
    """Judges one server, and returns the path of the result file."""
    result = installed / "results" / f"{server['name']}.json"
    result.parent.mkdir(exist_ok=True)
    result.unlink(missing_ok=True)
    command = [program, "check", "--profile", profile, "--output", f"json={result}"]
    command += ["--output", "text", "--command", expand(server["command"], installed)]
    for feature in server.get("without", []):
        command += ["--without", feature]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.exists():
        sys.exit(f"{server['name']}: {' '.join(command)}: no result\n{ran.stdout}{ran.stderr}")
    return result


def is_red(cell):
    return cell["verdict"] not in FINE


def follows(cell, cause):
    """Whether the cause explains a red cell."""
    kind = cell["failure"]["kind"] if cell["failure"] else cell["verdict"]
    name = f"{cell['suite']}/{cell['case']}"
    cases = cause["cases"] + cause.get("others", [])
    return kind in cause["failures"] and any(fnmatch.fnmatch(name, one) for one in cases)


def differences(server, result):
    """Yields what a result and strangers.toml do not have in common."""
    cells = [cell for cell in result["cells"] if is_red(cell)]
    causes = server.get("cause", [])
    for cell in cells:
        if not any(follows(cell, cause) for cause in causes):
            failure = json.dumps(cell["failure"] or cell["reason"])
            yield f"red without a cause: {cell['suite']}/{cell['case']}: {failure}"
    for cause in causes:
        found = {f"{one['suite']}/{one['case']}" for one in cells if follows(one, cause)}
        for case in cause["cases"]:
            if case not in found:
                yield f"{cause['name']}: {case} is not red"


def free_port():
    """A free port below those that the kernel gives to clients."""
    for port in range(20_000, 32_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return sys.exit("no port between 20000 and 32000 is free")


def listens(port):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def reproduce(installed, server, cause):
    """Runs the reproduction of a cause on a new server. Returns the problem, or an empty string."""
    script = HERE / "reproductions" / f"{cause['reproduction']}.py"
    port = free_port()
    command = expand(server["command"], installed)
    command = command.replace("{port}", str(port)).replace("{addr}", f"127.0.0.1:{port}")
    nothing = subprocess.DEVNULL
    with subprocess.Popen(
        shlex.split(command), stdin=nothing, stdout=nothing, stderr=nothing
    ) as process:
        try:
            if not listens(port):
                return f"{command}: does not listen within {START_SECONDS} s"
            ran = subprocess.run(
                [sys.executable, script, str(port), str(process.pid)],
                capture_output=True,
                text=True,
                check=False,
                timeout=REPRODUCTION_SECONDS,
            )
            said = (ran.stdout + ran.stderr).strip().replace("\n", "; ")
            print(f"  {cause['name']}: {script.name}: {said}", flush=True)
            return "" if ran.returncode == 0 else f"{script.name} does not show the fault: {said}"
        except subprocess.TimeoutExpired:
            return f"{script.name}: no end within {REPRODUCTION_SECONDS} s"
        finally:
            process.kill()


def judge_all(program, installed, profile, names):
    table = read_table()
    chosen = [one for one in table["server"] if not names or one["name"] in names]
    if len(chosen) < len(names):
        known = ", ".join(one["name"] for one in table["server"])
        sys.exit(f"strangers: a name of {' '.join(names)} is none of: {known}")
    problems = 0
    for server in chosen:
        started = time.monotonic()
        result = json.loads(judge(program, installed, profile, server).read_text())
        red = sum(map(is_red, result["cells"]))
        seconds = time.monotonic() - started
        print(f"{server['name']}: {red} red cells in {seconds:.0f} s", flush=True)
        found = list(differences(server, result))
        shown = (reproduce(installed, server, one) for one in server.get("cause", []))
        found += filter(None, shown)
        for problem in found:
            print(f"  NOT AS EXPECTED: {problem}", flush=True)
        problems += len(found)
    if problems:
        sys.exit(f"strangers: {problems} differences from proof/strangers/strangers.toml")
    write_page(table, installed, profile)


def write_page(table, installed, profile):
    """Writes the page if every server has an expected result in this profile."""
    versions = {}
    for server in table["server"]:
        result = installed / "results" / f"{server['name']}.json"
        if not result.exists():
            return print(f"no page: {server['name']} has not been judged")
        document = json.loads(result.read_text())
        if document["profile"] != profile or any(differences(server, document)):
            return print(f"no page: {server['name']} was not as expected, or in another profile")
        command = shlex.split(expand(server["version"], installed))
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        versions[server["name"]] = (ran.stdout + ran.stderr).strip().splitlines()[0]
    page.PATH.write_text(page.render(table, versions, profile), encoding="utf-8")
    return print(f"written: {page.PATH.relative_to(ROOT)}")


def check():
    """Yields the problems that show without judging."""
    table = read_table()
    for server in table["server"]:
        for cause in server.get("cause", []):
            script = HERE / "reproductions" / f"{cause['reproduction']}.py"
            if len(script.read_text().splitlines()) > REPRODUCTION_LINES:
                yield f"{script.name} has more than {REPRODUCTION_LINES} lines"
    if not page.PATH.exists():
        yield "docs/STRANGERS.md is missing: run ci/strangers.sh"
        return
    versions, profile = page.facts()
    if page.PATH.read_text(encoding="utf-8") != page.render(table, versions, profile):
        yield f"{page.PATH.relative_to(ROOT)} is stale: run ci/strangers.sh"


def main():
    match sys.argv[1:]:
        case ["check"]:
            problems = list(check())
            print(*problems, sep="\n", end="\n" if problems else "")
            sys.exit(1 if problems else 0)
        case ["judge", program, installed, profile, *names]:
            judge_all(program, pathlib.Path(installed).resolve(), profile, names)
        case _:
            sys.exit(__doc__)


main()
