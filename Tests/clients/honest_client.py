"""A client that behaves, with a new connection for every call: `python honest_client.py ADDRESS SECONDS CALLS` makes
unary calls for so long, as many at least, and prints the time of each in milliseconds as JSON."""

import json
import os
import socket
import sys
import time

from attacks import TRACK_REQUEST, head
from raw import DATA, END_STREAM, HEADERS, PREFACE, SETTINGS, frame

PAUSE_SECONDS = 0.002


def call(target, request):
    """Milliseconds from the connect to the trailers."""
    begun = time.monotonic()
    with socket.create_connection(target, timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while not has_trailers(received):
            part = connection.recv(65_536)
            if not part:
                raise ConnectionError("closed before the response")
            received += part
    return (time.monotonic() - begun) * 1_000


def has_trailers(received):
    at = 0
    while at + 9 <= len(received):
        length = int.from_bytes(received[at : at + 3], "big")
        if received[at + 3] == HEADERS and received[at + 4] & END_STREAM and at + 9 + length <= len(received):
            return True
        at += 9 + length
    return False


def main(address, seconds, calls):
    host, port = address.rsplit(":", 1)
    request = PREFACE + frame(SETTINGS) + head(1) + frame(DATA, END_STREAM, 1, TRACK_REQUEST)
    times, failures = [], 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end or len(times) + failures < int(calls):
        try:
            times.append(call((host, int(port)), request))
        except OSError:
            failures += 1
        time.sleep(PAUSE_SECONDS)
    print(json.dumps({"milliseconds": times, "failures": failures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
