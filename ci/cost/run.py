"""CPU time of each row's server a message, over the floor: see ci/cost.sh."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROUNDS, CONNECTIONS, BYTES, SECONDS = 9, 64, 64, 1.0
FLOOR_ROUNDS = 2000
IDLE = 1000
SERVER_CPU, LOAD_CPU = "0", "1"

tools, servers, *wanted = sys.argv[1:]


def on(cpu, *command):
    return ["taskset", "-c", cpu, *map(str, command)]


def cpu_ns(pid):
    """Nanoseconds on a CPU of all threads of a process, ended ones too; clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def resident_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def floor():
    command = on(SERVER_CPU, f"{tools}/floor", CONNECTIONS, BYTES, FLOOR_ROUNDS)
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextlib.contextmanager
def server(row):
    """A started server of a row, and its port."""
    command = on(
        SERVER_CPU, f"{servers}/{row['package']}", "--flavor", row["flavor"],
        "--driver", row["driver"]["linux"], "--workers", 1, "--listen", "tcp:127.0.0.1:0",
        "--announce", "json",
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            said = json.loads(process.stdout.readline())
            if "ready" not in said:
                sys.exit(f"{row['name']}: {said}")
            yield process.pid, said["listeners"][0].rsplit(":", 1)[1]
        finally:
            process.kill()


def load(port):
    """Messages that were echoed."""
    command = on(LOAD_CPU, f"{tools}/load", port, CONNECTIONS, BYTES, SECONDS)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cost(row):
    """CPU nanoseconds a message, and messages a second."""
    with server(row) as (pid, port):
        before, start = cpu_ns(pid), time.monotonic()
        messages = load(port)
        took, used = time.monotonic() - start, cpu_ns(pid) - before
        return used / messages, messages / took


def calls(row):
    """System calls a message, in a run of its own, because counting them costs time; or why not."""
    if shutil.which("perf") is None:
        return "no data: there is no perf here"
    command_read, command = os.pipe()
    ack, ack_write = os.pipe()
    with server(row) as (pid, port), tempfile.NamedTemporaryFile("r") as counted:
        counter = subprocess.Popen(
            [
                "perf", "stat", "-e", "raw_syscalls:sys_enter", "-x,", "-o", counted.name,
                "--delay", "-1", "--control", f"fd:{command_read},{ack_write}", "-p", str(pid),
            ],
            pass_fds=(command_read, ack_write), stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(ack_write)
        os.write(command, b"enable\n")
        if not os.read(ack, 16):
            return "no data: perf may not count system calls here"
        messages = load(port)
        counter.send_signal(signal.SIGINT)
        counter.wait()
        os.close(command)
        os.close(ack)
        count = next(line for line in counted if "sys_enter" in line).split(",")[0]
        return f"{int(count) / messages:.2f}"


def idle_memory(row):
    """KiB of resident memory for each connection that has had one echo and is idle."""
    with server(row) as (pid, port), contextlib.ExitStack() as open_ones:
        before = resident_kib(pid)
        for _ in range(IDLE):
            client = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(bytes(BYTES))
            if len(client.recv(BYTES, socket.MSG_WAITALL)) != BYTES:
                sys.exit(f"{row['name']}: a connection ended")
        return (resident_kib(pid) - before) / IDLE


def main():
    with open("backends/backends.toml", "rb") as file:
        rows = tomllib.load(file)["row"]
    rows = [row for row in rows if "linux" in row["driver"]]
    if wanted:
        rows = [row for row in rows if row["name"] in wanted]
    if os.cpu_count() < 2:
        sys.exit("cost: the server and the clients need a CPU each")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
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
    print("| row | CPU over the floor | lowest to highest | microseconds a message ", end="")
    print("| messages a second | system calls a message | KiB an idle connection |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in sorted(rows, key=lambda row: statistics.median(ratios[row["name"]])):
        name = row["name"]
        print(
            f"| `{name}` | {statistics.median(ratios[name]):.2f} "
            f"| {min(ratios[name]):.2f} to {max(ratios[name]):.2f} "
            f"| {statistics.median(nanoseconds[name]) / 1000:.1f} "
            f"| {statistics.median(rates[name]):,.0f} | {calls(row)} | {idle_memory(row):.1f} |"
        )
    print(f"\nThe floor: {statistics.median(floors) / 1000:.1f} microseconds a message, ", end="")
    print(f"{min(floors) / 1000:.1f} to {max(floors) / 1000:.1f} over the rounds.")


main()
