"""Judges the servers of server.py: `run.py IOMATRIX PROFILE [KIND...]`.

Prints a Markdown table. Exits with 1 if a server took too long, made the judge use too much memory,
left a process behind, or was certified although it is broken.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import server

HERE = Path(__file__).resolve().parent
MOST_SECONDS = 180
MOST_MIB = 256


def left_behind():
    """The ids of the processes that run server.py."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(HERE / "server.py") in words:
            found.append(int(entry.parent.name))
    return found


def judge(iomatrix, profile, name):
    """The page that the judge prints, its seconds, and its maximum resident set in MiB."""
    command = f"python3 {HERE / 'server.py'} {name} {{addr}}"
    start = time.monotonic()
    judging = subprocess.Popen(
        [iomatrix, "check", "--profile", profile, "--command", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    most = 0
    status = Path(f"/proc/{judging.pid}/status")
    os.set_blocking(judging.stdout.fileno(), False)
    page = b""
    while judging.poll() is None:
        page += judging.stdout.read() or b""
        try:
            peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        except OSError:
            peak = None
        most = max(most, int(peak[1]) // 1024 if peak else 0)
        time.sleep(0.1)
    page += judging.stdout.read() or b""
    return page.decode(), time.monotonic() - start, most


def main():
    iomatrix, profile, *names = sys.argv[1:]
    # Two servers are correct in a way that may confuse a judge. One ends before any case asks it.
    expected = {server.forks: "yes", server.closes_streams: "yes", server.daemon: "not judged"}
    wrong = []
    kinds = [kind.__name__.replace("_", "-") for kind in server.KINDS]
    if unknown := set(names) - set(kinds):
        sys.exit(f"no kind is named {', '.join(sorted(unknown))}; there are: {', '.join(kinds)}")
    print("| server | s | judge's MiB | certified |")
    print("| --- | --- | --- | --- |")
    for kind, name in zip(server.KINDS, kinds, strict=True):
        if names and name not in names:
            continue
        page, seconds, mib = judge(iomatrix, profile, name)
        certified = re.search(r"^certified: (yes|no)", page, re.MULTILINE)
        verdict = certified[1] if certified else "not judged"
        print(f"| {kind.__doc__} | {seconds:.0f} | {mib} | {verdict} |", flush=True)
        if seconds > MOST_SECONDS:
            wrong.append(f"{name}: more than {MOST_SECONDS} s")
        if mib > MOST_MIB:
            wrong.append(f"{name}: more than {MOST_MIB} MiB")
        if verdict != expected.get(kind, "no"):
            wrong.append(f"{name}: certified: {verdict}\n{page}")
        if pids := left_behind():
            wrong.append(f"{name}: left behind: {pids}")
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
