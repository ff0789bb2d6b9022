#!/usr/bin/env python3
"""Writes the segments beside it by docs/formats/feed.md alone; `--page` prints the example of that page."""

import struct
import sys
from pathlib import Path

DIRECTORY_ID = bytes.fromhex("00112233445566778899aabbccddeeff")
TIME = 1_700_000_000_000_000


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(flags, first, last, records):
    return struct.pack("<IIQQ", 24 + len(records), flags, first, last) + records


def segment_header(first, oldest_at):
    body = b"PRFLFED\0" + struct.pack("<II", 1, 0) + DIRECTORY_ID + struct.pack("<Qq12x", first, oldest_at)
    return body + struct.pack("<I", crc32c(body))


def block(segment, first, through, oldest_at, payload):
    seed = crc32c(DIRECTORY_ID + struct.pack("<Q", segment))
    body = b"PFDB" + struct.pack("<IQQq8xI", len(payload), first, through, oldest_at, crc32c(payload, seed))
    return body + struct.pack("<I", crc32c(body, seed)) + payload


FIRST_BLOCK = frame(1, 1, 3, b"created") + frame(0, 7, 7, b"event")
SEGMENTS = {
    1: segment_header(1, TIME)
    + block(1, 1, 8, TIME, FIRST_BLOCK)
    + block(1, 9, 12, TIME + 2_000_000, b""),
    13: segment_header(13, TIME + 3_602_000_000)
    + block(13, 13, 20, TIME + 3_602_000_000, frame(1, 15, 20, b"erased")),
}


def page():
    rows = [
        (8, "magic `PRFLFED` and a zero"), (4, "version 1"), (4, "zero"), (16, "directory id, big-endian"),
        (8, "begins at lsn 1"), (8, "oldest change at 1700000000000000 µs"), (12, "zero"),
        (4, "CRC of the 60 bytes before"),
        (4, "magic `PFDB`"), (4, "payload of 60 bytes"), (8, "begins at lsn 1"), (8, "whole through lsn 8"),
        (8, "oldest change at 1700000000000000 µs"), (8, "zero"),
        (4, "CRC of directory id, segment's first lsn and payload"),
        (4, "CRC of directory id, segment's first lsn and the 44 bytes before"),
        (4, "frame of 31 bytes"), (4, "flags: 1, identity"), (8, "first lsn 1"), (8, "last lsn 3"),
        (7, "records `created`"),
        (4, "frame of 29 bytes"), (4, "no flags"), (8, "first lsn 7"), (8, "last lsn 7"), (5, "records `event`"),
    ]
    data, offset = SEGMENTS[1], 0
    for count, meaning in rows:
        text = data[offset : offset + count].hex(" ")
        print(f"{offset:3} | {text:47} | {meaning}")
        offset += count


if __name__ == "__main__":
    if "--page" in sys.argv:
        page()
    else:
        for first, data in SEGMENTS.items():
            (Path(__file__).parent / f"{first:020}.feed").write_bytes(data)
