"""Compares the load generator with a client in C and with its goals; see ci/generator.sh."""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys

ROUNDS, CONNECTIONS, BYTES = 9, 64, 64
SECONDS = 1.0
SERVER_CPU, CLIENT_CPU = "0", "1"

tools, built = sys.argv[1:]


def on(cpu, *command):
    return ["taskset", "-c", cpu, *map(str, command)]


def run(*command):
    """Runs a command on the client's CPU. Returns its output, CPU seconds and exit status."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        on(CLIENT_CPU, *command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, cpu, done.returncode


@contextlib.contextmanager
def server():
    """Starts a server with one thread, and yields its port."""
    command = on(
        SERVER_CPU, f"{built}/backend-mio", "--flavor", "loop", "--workers", 1,
        "--listen", "tcp:127.0.0.1:0", "--announce", "json",
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield json.loads(process.stdout.readline())["listeners"][0].rsplit(":", 1)[1]
        finally:
            process.kill()


def client(port):
    """Messages per second and CPU nanoseconds per message of the client in C."""
    out, cpu, status = run(f"{tools}/load", port, CONNECTIONS, BYTES, SECONDS)
    if status != 0:
        sys.exit("generator: the client in C failed")
    messages = int(out.split()[0])
    return messages / SECONDS, cpu / messages * 1e9


def generator(port, *options):
    """The measurement of one load."""
    out, _, status = run(
        f"{built}/iomatrix", "load", f"127.0.0.1:{port}", "--output", "json", *options
    )
    if not out:
        sys.exit(f"generator: iomatrix load ended with {status}")
    return json.loads(out)["measurements"][0]


def closed(port):
    measured = generator(
        port, "-c", CONNECTIONS, "-p", BYTES, "-d", f"{SECONDS}s", "-w", "100ms"
    )
    if measured["validity"]["state"] != "valid":
        print(f"invalid: {measured['validity']['reasons']}", file=sys.stderr)
        return None
    cpu = measured["generator"]["cpu_seconds"] / measured["traffic"]["echoed"] * 1e9
    return measured["throughput"]["messages_per_second"], cpu


def line(what, value, goal, is_met):
    print(f"| {what} | {value} | {goal} | {'yes' if is_met else 'no'} |")
    return is_met


def main():
    if os.cpu_count() < 2:
        sys.exit("generator: the server and the clients need a CPU each")
    rates, cpus, floors = [], [], []
    for number in range(ROUNDS):
        with server() as port:
            order = [client, closed] if number % 2 == 0 else [closed, client]
            found = {each: each(port) for each in order}
        if found[closed] is not None:
            rates.append(found[closed][0] / found[client][0])
            cpus.append(found[closed][1] / found[client][1])
        in_c = run(f"{tools}/floor", CONNECTIONS, BYTES, 2000)[0]
        in_rust = run(f"{built}/examples/floor", CONNECTIONS, BYTES, 2000)[0]
        floors.append(float(in_rust) / float(in_c))
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    with server() as port:
        many = generator(port, "-c", 10000, "-d", "1s", "-w", "100ms")
        lags, noisy = [], 0
        for _ in range(5):
            measured = generator(port, "-c", CONNECTIONS, "-r", "20k", "-d", "2s", "-w", "200ms")
            if measured["send_lag"] is None:
                noisy += 1
            else:
                at = {p["percent"]: p["ns"] for p in measured["send_lag"]["percentiles"]}
                lags.append(at[99.0] / 1000)
    print("| what | measured | goal | met |\n| --- | --- | --- | --- |")
    met = [
        line(
            "messages a second, over the client in C", f"{statistics.median(rates):.2f}",
            "0.95 or more", statistics.median(rates) >= 0.95,
        ),
        line(
            "CPU of a message, over the client in C", f"{statistics.median(cpus):.2f}",
            "1.10 or less", statistics.median(cpus) <= 1.10,
        ),
        line(
            "10,000 connections are open after", f"{many['opening_seconds']:.2f} s",
            "5 s or less", many["opening_seconds"] <= 5,
        ),
        line(
            "the floor in Rust, over that in C", f"{statistics.median(floors):.2f}",
            "0.97 to 1.03", 0.97 <= statistics.median(floors) <= 1.03,
        ),
    ]
    if lags:
        lag = statistics.median(lags)
        met.append(
            line("send lag p99 at 20,000 a second", f"{lag:.1f} µs", "below 100 µs", lag < 100)
        )
    if noisy:
        print(f"\nHost too noisy for an open loop in {noisy} of 5 runs.")
    print(f"\n{len(rates)} of {ROUNDS} closed loops were valid.")
    sys.exit(0 if all(met) else 1)


main()
