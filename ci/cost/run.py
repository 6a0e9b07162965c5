"""CPU time of each row's server a message, over the floor: see ci/cost.sh."""

import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROUNDS, CONNECTIONS, BYTES, SECONDS = 9, 64, 64, 1.0
FLOOR_ROUNDS = 2000
SERVER_CPU, LOAD_CPU = "0", "1"

tools, servers, *wanted = sys.argv[1:]


def on(cpu, *command):
    return ["taskset", "-c", cpu, *map(str, command)]


def cpu_ns(pid):
    """Nanoseconds on a CPU of all threads of a process, proc_pid_schedstat(5)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def floor():
    command = on(SERVER_CPU, f"{tools}/floor", CONNECTIONS, BYTES, FLOOR_ROUNDS)
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cost(row):
    """CPU nanoseconds a message, and messages a second."""
    command = on(
        SERVER_CPU, f"{servers}/{row['package']}", "--flavor", row["flavor"],
        "--driver", row["driver"]["linux"], "--workers", 1, "--listen", "tcp:127.0.0.1:0",
        "--announce", "json",
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            said = json.loads(server.stdout.readline())
            if "ready" not in said:
                sys.exit(f"{row['name']}: {said}")
            port = said["listeners"][0].rsplit(":", 1)[1]
            before, start = cpu_ns(server.pid), time.monotonic()
            load = on(LOAD_CPU, f"{tools}/load", port, CONNECTIONS, BYTES, SECONDS)
            done = subprocess.run(load, check=True, capture_output=True, text=True)
            took, used = time.monotonic() - start, cpu_ns(server.pid) - before
            messages = int(done.stdout)
            return used / messages, messages / took
        finally:
            server.kill()


def main():
    with open("backends/backends.toml", "rb") as file:
        rows = tomllib.load(file)["row"]
    rows = [row for row in rows if "linux" in row["driver"]]
    if wanted:
        rows = [row for row in rows if row["name"] in wanted]
    if os.cpu_count() < 2:
        sys.exit("cost: the server and the clients need a CPU each")
    floors, ratios, nanoseconds, rates = [], {}, {}, {}
    for number in range(ROUNDS):
        base = floor()
        floors.append(base)
        # A B C, then C B A: what drifts meanwhile strikes all alike.
        for row in rows if number % 2 == 0 else rows[::-1]:
            used, rate = cost(row)
            ratios.setdefault(row["name"], []).append(used / base)
            nanoseconds.setdefault(row["name"], []).append(used)
            rates.setdefault(row["name"], []).append(rate)
        print(f"round {number + 1} of {ROUNDS}: floor {base:.0f} ns", file=sys.stderr)
    print("| row | CPU over the floor | lowest to highest | microseconds | messages a second |")
    print("| --- | --- | --- | --- | --- |")
    for name in sorted(ratios, key=lambda name: statistics.median(ratios[name])):
        found = ratios[name]
        print(
            f"| `{name}` | {statistics.median(found):.2f} | {min(found):.2f} to {max(found):.2f} | "
            f"{statistics.median(nanoseconds[name]) / 1000:.1f} | "
            f"{statistics.median(rates[name]):,.0f} |"
        )
    print(f"\nThe floor: {statistics.median(floors) / 1000:.1f} microseconds a message, ", end="")
    print(f"{min(floors) / 1000:.1f} to {max(floors) / 1000:.1f} over the rounds.")


main()
