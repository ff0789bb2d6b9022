#!/usr/bin/env python3
"""Writes the names of Sources/Messages/Identify/TimeZoneTable.swift from a release of the tz database.

    python3 -m venv /tmp/tables && /tmp/tables/bin/pip install tzdata
    /tmp/tables/bin/python scripts/time_zones.py [FILE]

FILE is a `tzdata.zi`, that of the package tzdata by default. Names are zones and links, deprecated links included; none
is ever removed from the table, so that what a client may write stays valid.
"""

import pathlib
import re
import sys

TABLE = pathlib.Path(__file__).resolve().parent.parent / "Sources/Messages/Identify/TimeZoneTable.swift"
COLUMNS = 86


def names(database):
    zones = re.findall(r"^Z (\S+) ", database, re.MULTILINE)
    links = re.findall(r"^L \S+ (\S+)$", database, re.MULTILINE)
    return set(zones) | set(links)


def committed():
    if not TABLE.exists():
        return set()
    return set(TABLE.read_text().split('"""')[1].replace("\\\n", "").split())


def swift(version, names):
    lines = [""]
    for name in sorted(names):
        if len(lines[-1]) + len(name) > COLUMNS:
            lines.append("")
        lines[-1] += name + " "
    body = "\\\n".join(f"        {line}" for line in lines).rstrip()
    return (
        f"// Made by scripts/time_zones.py of the tz database {version}; not to be edited.\n\n"
        "/// Names of the tz database, in the order of their bytes, with a blank between two.\n"
        "enum TimeZoneTable {\n"
        f'    static let version: StaticString = "{version}"\n\n'
        f'    static let names: StaticString = """\n{body}\n        """\n}}\n'
    )


def main():
    if len(sys.argv) > 1:
        path = pathlib.Path(sys.argv[1])
    else:
        import tzdata

        path = pathlib.Path(tzdata.__file__).parent / "zoneinfo/tzdata.zi"
    database = path.read_text()
    version = re.match(r"# version (\S+)", database).group(1)
    found = names(database) | committed()
    TABLE.write_text(swift(version, found))
    print(f"{len(found)} names of {version}")


if __name__ == "__main__":
    main()
