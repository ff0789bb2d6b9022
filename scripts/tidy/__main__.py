#!/usr/bin/env python3
"""`python3 scripts/tidy`: every finding of every check, and 1 if there is any; `--counts` adds them up."""

import collections
import os
import sys

if not __package__:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __package__ = "tidy"
    import tidy  # noqa: F401

from . import checks, shape  # noqa: E402


def main(arguments):
    counts = "--counts" in arguments
    wanted = [name for name in arguments if not name.startswith("-")] or [*checks.CHECKS, "format"]
    total = 0
    for name in wanted:
        findings = (
            shape.unformatted("Sources", "Tests", "Package.swift")
            if name == "format"
            else [finding for found in checks.run(name).values() for finding in found]
        )
        total += len(findings)
        if counts:
            folders = collections.Counter("/".join(finding.split(":")[0].split("/")[:2]) for finding in findings)
            print(f"{name}: {len(findings)} {dict(folders.most_common())}")
        else:
            print("".join(f"{name}: {finding}\n" for finding in findings), end="")
    print(f"{total} findings")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
