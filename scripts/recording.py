#!/usr/bin/env python3
"""Draws docs/images/first-call.svg: the README's first call, as a terminal shows it, from what the commands print.

Runs the service on an empty directory and the commands in one shell beside it. PROFILED, PROFILECTL: other builds
(default: the release build). Uses free ports, needs no terminal, ends what it starts.
"""

import html
import os
import pathlib
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROFILED = pathlib.Path(os.environ.get("PROFILED", ROOT / ".build/release/profiled")).resolve()
PROFILECTL = pathlib.Path(os.environ.get("PROFILECTL", PROFILED.parent / "profilectl")).resolve()
TARGET = ROOT / "docs/images/first-call.svg"

COLUMNS = 100
CHARACTER_WIDTH, LINE_HEIGHT, FONT_SIZE, PADDING = 8.4, 19, 14, 18
# Seconds that a typed character takes, that a reader gets behind a command, and behind each line of its output.
TYPED, AFTER_COMMAND, PER_LINE = 0.035, 0.5, 0.22

STEPS = (
    ("profilectl track anna purchase amount=59.9 currency=EUR --event-id order-1001", None),
    ("profilectl track anna purchase amount=59.9 currency=EUR --event-id order-1001   # a retry", None),
    ("profilectl identify anna --device phone-1 email_address=anna@example.org plan=gold", None),
    ("kill -9 $(pidof profiled); make run &", "restart"),
    ("profilectl get anna   # everything that was acknowledged is there", None),
)


class Service:
    """A server on a directory that outlives it."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self):
        log = self.folder / "log"
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [PROFILED, "--data-dir", self.folder / "data", "--listen", "127.0.0.1:0", "--admin-listen",
                 "127.0.0.1:0"],
                stderr=file,
            )
        for _ in range(600):
            found = re.search(r'"message":"serving".*?"listen":"([^"]+)"', log.read_text())
            if found:
                return found[1]
            time.sleep(0.1)
        raise SystemExit(log.read_text())

    def end(self):
        self.process.kill()
        self.process.wait()


def record(folder):
    """The lines of the terminal: what is typed, and what each command printed."""
    service = Service(folder)
    address = service.start()
    try:
        for command, action in STEPS:
            yield "typed", command
            if action == "restart":
                service.end()
                address = service.start()
                continue
            words = command.split("#")[0].removeprefix("profilectl").split()
            shown = subprocess.run(
                [PROFILECTL, *words],
                env={**os.environ, "PROFILES_ADDRESS": address},
                capture_output=True, text=True, check=True,
            )
            for line in shown.stdout.rstrip("\n").split("\n"):
                yield "printed", line[:COLUMNS]
    finally:
        service.end()


def draw(lines):
    """One SVG: each line appears at its time and stays; without animation all are there."""
    rows, at = [], 0.4
    for number, (kind, text) in enumerate(lines):
        y = PADDING + 34 + number * LINE_HEIGHT
        if kind == "typed":
            at += AFTER_COMMAND if number else 0
            body = f'<tspan class="prompt">$ </tspan><tspan class="typed">{html.escape(text)}</tspan>'
            shown_at, at = at, at + TYPED * len(text)
        else:
            body = html.escape(text)
            at += PER_LINE
            shown_at = at
        rows.append(f'<text x="{PADDING}" y="{y}" style="animation-delay:{shown_at:.2f}s">{body}</text>')
    width = round(2 * PADDING + (COLUMNS - 2) * CHARACTER_WIDTH)
    height = PADDING * 2 + 34 + len(rows) * LINE_HEIGHT
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" \
viewBox="0 0 {width} {height}" role="img" aria-label="A terminal: the first calls of profilectl">
<style>
text {{ font: {FONT_SIZE}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #c9d1d9;
  white-space: pre; opacity: 0; animation: show 0.01s linear forwards }}
.prompt {{ fill: #7ee787 }}
.typed {{ fill: #ffffff; font-weight: 600 }}
@keyframes show {{ to {{ opacity: 1 }} }}
@media (prefers-reduced-motion: reduce) {{ text {{ animation: none; opacity: 1 }} }}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>
<circle cx="22" cy="20" r="6" fill="#ff5f57"/><circle cx="42" cy="20" r="6" fill="#febc2e"/>
<circle cx="62" cy="20" r="6" fill="#28c840"/>
{chr(10).join(rows)}
</svg>
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        picture = draw(list(record(pathlib.Path(folder))))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(picture)
    print(f"{TARGET.relative_to(ROOT)}: {len(picture)} bytes")


if __name__ == "__main__":
    main()
