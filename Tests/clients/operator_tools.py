"""Shared by the tests of the operators' tools: the tools, people with all kinds of data, and byte comparisons of
directories."""

import hashlib
import json
import os
import struct
import subprocess
import threading

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from conftest import BINARY, custom, event, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2, unique
from profiles.v1 import admin_pb2, admin_pb2_grpc

TOOL = BINARY.parent / "profilectl"


def profiled(*flags, cwd, **variables):
    """Runs `profiled` until it exits; for flags such as --check-config."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")} | variables
    return subprocess.run(
        [str(BINARY), *map(str, flags)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def ctl(*words, server=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROFILES_")}
    if server:
        environment["PROFILES_ADDRESS"] = server.listen
    return subprocess.run(
        [str(TOOL), *map(str, words)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def verified(folder):
    """The result of verify for a directory: exit code, findings, verdict. No byte, name or mode may change."""
    before = fingerprint(folder)
    result = ctl("--json", "verify", folder)
    assert fingerprint(folder) == before
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, lines[:-1], lines[-1]


def fingerprint(folder):
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def damages(found):
    return [line["damage"] for line in found if "damage" in line]


def fill(server, people=40):
    """Writes people with all kinds of data: attributes, devices, consent, events, a merge."""
    names = [unique("person") for _ in range(people)]
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    for number, name in enumerate(names):
        value = types_pb2.Value(string=f"plan {number}")
        device = f"{name}-phone"
        stub.Track(track(types_pb2.Identifier(installation_id=device), event("opened")))
        stub.Identify(
            profiles_pb2.IdentifyRequest(
                project="default",
                custom_id=name,
                installation_id=device,
                attributes=types_pb2.AttributePatch(
                    set={"plan": value, "sizes": types_pb2.Value(list=types_pb2.StringList(items=["s", "m"]))},
                    native=types_pb2.NativeAttributes(email_address=StringValue(value=f"{name}@example.org")),
                ),
            )
        )
        for _ in range(number % 4):
            amount = types_pb2.Value(number=number / 8)
            stub.Track(track(custom(name), event("bought", attributes={"amount": amount}, label="x", tags=["a", "b"])))
        if number % 3 == 0:
            stub.UpdateSubscription(
                profiles_pb2.UpdateSubscriptionRequest(
                    project="default",
                    identifier=custom(name),
                    source=types_pb2.CONSENT_SOURCE_USER,
                    changes=[
                        profiles_pb2.SubscriptionChange(
                            channel=types_pb2.CHANNEL_EMAIL, state=types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED
                        )
                    ],
                )
            )
    return names


def fill_much(server, batches=30):
    """Writes about 6 MB, so that a backup takes some time."""
    stub = profiles_pb2_grpc.ProfilesStub(server.channel())
    texts = {f"text{part}": types_pb2.Value(string="x" * 200) for part in range(5)}
    for number in range(batches):
        stub.BatchWrite(
            profiles_pb2.BatchWriteRequest(
                project="default",
                operations=[
                    profiles_pb2.WriteOperation(
                        track=track(custom(f"m-{number}-{one}"), event("big", attributes=texts))
                    )
                    for one in range(200)
                ],
            )
        )


def newest_log(folder):
    return sorted(folder.glob("*.log"))[-1]


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def crc32c(content, before=0):
    """Continues a CRC-32C from `before`, bit by bit: independent of the server's implementation."""
    crc = before ^ 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sealed_again(content):
    """A snapshot with all its checksums recomputed (docs/formats/snapshot.md)."""
    lsn = struct.unpack_from("<Q", content, 40)[0] - 1
    seed = crc32c(struct.pack("<Q", lsn), crc32c(bytes(content[16:32])))
    content[76:80] = struct.pack("<I", crc32c(bytes(content[:76])))
    previous, offset = content[76:80], 80
    while offset < len(content):
        number, size = struct.unpack_from("<QI", content, offset + 8)
        block = crc32c(struct.pack("<Q", number), seed)
        content[offset + 20 : offset + 24] = previous
        content[offset + 24 : offset + 28] = struct.pack(
            "<I", crc32c(bytes(content[offset + 32 : offset + 32 + size]), block)
        )
        content[offset + 28 : offset + 32] = struct.pack("<I", crc32c(bytes(content[offset : offset + 28]), block))
        previous = content[offset + 28 : offset + 32]
        offset += 32 + (size + 7) // 8 * 8
    return content


def admin_stub(server):
    return admin_pb2_grpc.AdminStub(server.channel())


def backups(server, destination, **options):
    """Every message of a backup."""
    return list(admin_stub(server).Backup(admin_pb2.BackupRequest(destination=str(destination)), timeout=60, **options))


class Journal:
    """A writer of one person that counts its acknowledged calls; each call stores three events, all or none."""

    def __init__(self, server):
        self.name = unique("writer")
        self.stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        self.sent = self.acknowledged = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.is_set() and self.sent < 330:
            self.sent += 1
            try:
                self.stub.Track(
                    track(custom(self.name), *[event("step", event_id=f"{self.sent}-{part}") for part in range(3)]),
                    timeout=20,
                )
            except grpc.RpcError:
                return
            self.acknowledged += 1

    def check(self, stub, least):
        try:
            counters = stub.GetProfile(get(custom(self.name)), timeout=20).profile.event_counters
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND and least == 0
            return
        assert counters[0].count % 3 == 0, "a call was applied partially"
        assert 3 * least <= counters[0].count <= 3 * self.sent, (
            "an acknowledged call is missing, or more was stored than was sent"
        )
