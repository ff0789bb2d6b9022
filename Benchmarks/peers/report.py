"""What Benchmarks/peers.sh has measured, as a table for the terminal, a Markdown file and two pictures.

Usage: report.py machine --folder F --rounds N --seconds S --people N --note TEXT    machine and versions, "NAME: VALUE"
       report.py write ROUNDS MACHINE TARGET    ROUNDS has lines "SERVER PEOPLE SHAPE REQUESTS_PER_SECOND CPU_US"
"""

import argparse
import collections
import datetime
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import chart

# Name in the results, heading, and what it is.
SERVERS = {
    "floor": ("C floor", "a C program on the same nghttp2 that returns a constant ([floor](../../Benchmarks/floor))"),
    "nghttpd": ("nghttpd", "nghttp2's own server, a static file of 118 bytes"),
    "grpc": ("gRPC C++", "Track of the same contract, asynchronous, one thread; counts in a hash table, not durable"),
    "redis": ("Redis SET", "values as large as the Track, `appendfsync always`; STREAMS is the pipeline"),
    "track": ("Track", "profiled, durable"),
    "get": ("GetProfile", "profiled"),
    "stream": ("TrackStream", "profiled, durable events; one stream a connection, STREAMS messages under way on each"),
    "batch": ("TrackStream x15", "the same with 15 events of a person in each message"),
}


def read(lines):
    """{(people, shape): {server: [(requests a second, CPU in µs a request), ...]}}, in the order of the lines."""
    found = collections.OrderedDict()
    for number, text in enumerate(lines, 1):
        try:
            server, people, shape, rate, cpu = text.split()
            row = found.setdefault((int(people), shape), {})
            row.setdefault(server, []).append((float(rate), float(cpu)))
        except ValueError:
            raise ValueError(f"line {number} is no result of peers.sh: {text!r}") from None
    return found


def medians(results):
    """The same with the median of the rounds, each figure by itself."""
    return {
        key: {
            server: tuple(statistics.median(figure) for figure in zip(*rounds, strict=True))
            for server, rounds in row.items()
        }
        for key, row in results.items()
    }


def servers_of(rows):
    """Names of the servers that any row has, in the order of the columns."""
    present = {server for row in rows for server in row}
    return [server for server in SERVERS if server in present]


def cell(figures):
    return "-" if figures is None else f"{figures[0]:,.0f} ({figures[1]:.2f})"


def rows_of(table, people):
    """{shape: {server: figures}} of one number of people."""
    return {shape: row for (count, shape), row in table.items() if count == people}


def markdown_table(rows):
    servers = servers_of(rows.values())
    headings = " | ".join(SERVERS[server][0] for server in servers)
    lines = [f"| load | {headings} |", "|---" * (len(servers) + 1) + "|"]
    for shape, row in rows.items():
        lines.append(f"| {shape} | " + " | ".join(cell(row.get(server)) for server in servers) + " |")
    return "\n".join(lines) + "\n"


def people_text(people):
    return "One person" if people == 1 else f"{people:,} people"


def document(table, machine):
    """The whole Markdown file."""
    parts = ["# Beside peers\n", "Made by `make bench-peers`; not edited by hand.\n"]
    parts.append(
        "Requests a second and, in brackets, CPU of the server in µs a request (user and system); medians of the"
        " rounds, which are interleaved. The load is CONNECTIONSxSTREAMS. The server has one core, the load another.\n"
    )
    # What restricts all figures comes before them.
    parts += [f"{value}\n" for name, value in machine if name == "Note"]
    for people in dict.fromkeys(people for people, _ in table):
        client = (
            "`h2load` with one recorded request"
            if people == 1
            else "`profile-bench`, which makes each request anew and may itself be the limit: compare the CPU"
        )
        parts.append(f"## {people_text(people)}\n")
        parts.append(f"Client: {client}; Redis: `redis-benchmark`; TrackStream: `profile-bench stream`.\n")
        parts.append(markdown_table(rows_of(table, people)))
        parts.append(f"![{people_text(people)}]({picture(people)})\n")
    parts.append("## What is compared\n")
    described = (SERVERS[server] for server in servers_of(table.values()))
    parts.append("".join(f"- **{heading}**: {text}.\n" for heading, text in described))
    parts.append("## Where and when\n")
    parts.append("".join(f"- {name}: {value}\n" for name, value in machine if name != "Note"))
    return "\n".join(parts)


def picture(people):
    return f"peers-{people}.svg"


def write(rounds, machine, target):
    table = medians(read(Path(rounds).read_text().splitlines()))
    known = [tuple(line.split(": ", 1)) for line in Path(machine).read_text().splitlines()]
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.md").write_text(document(table, known))
    for people in dict.fromkeys(people for people, _ in table):
        rows = rows_of(table, people)
        names = [(server, SERVERS[server][0]) for server in servers_of(rows.values())]
        (folder / picture(people)).write_text(chart.svg(people_text(people), names, rows))
        print(f"{people_text(people)}: requests/s (CPU µs a request), medians")
        print(markdown_table(rows))
    print(f"written to {folder}: peers.md and its pictures")


def said(*command):
    """The first line that a program says of its version; empty if there is no such program or it takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return next(iter((done.stdout or done.stderr).splitlines()), "").strip()


def machine(options):
    """(name, value) of everything that the figures depend on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    distribution = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    load = Path("/proc/loadavg").read_text().split()[0]
    versions = [
        said("h2load", "--version"),
        "gRPC " + said("dpkg-query", "-W", "-f", "${Version}", "libgrpc++-dev"),
        said("redis-benchmark", "--version"),
        said("g++", "--version"),
        said("swift", "--version"),
    ]
    # A change that is not committed is not what the commit's name stands for.
    commit = said("git", "describe", "--always", "--dirty")
    yield "Date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    yield "Commit", commit or "unknown"
    yield "Machine", f"{model.group(1) if model else 'unknown'}, {os.cpu_count()} cores; load average before: {load}"
    yield "System", f"{distribution.group(1) if distribution else 'unknown'}, Linux {os.uname().release}"
    yield "File system of the data", said("stat", "-f", "-c", "%T", options.folder)
    yield "Versions", "; ".join(version for version in versions if version and version != "gRPC ")
    yield "Run", f"{options.rounds} rounds of {options.seconds} s a load"
    if options.note:
        yield "Note", options.note


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    about = commands.add_parser("machine")
    for name in ("folder", "rounds", "seconds", "people", "note"):
        about.add_argument(f"--{name}", default="")
    made = commands.add_parser("write")
    for name in ("rounds", "machine", "target"):
        made.add_argument(name)
    options = parser.parse_args(arguments)
    if options.command == "machine":
        print("\n".join(f"{name}: {value}" for name, value in machine(options)))
    else:
        write(options.rounds, options.machine, options.target)


if __name__ == "__main__":
    main(sys.argv[1:])
