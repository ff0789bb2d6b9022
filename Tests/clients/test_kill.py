"""kill -9 under load (F1): no acknowledged write is lost, none is applied partially or twice.

Each writer has a person of its own in each round and numbers its calls; a call is a Track of three events whose ids
contain the number. A journal in memory knows which calls were sent and which were acknowledged. After each kill the
server is started again and every call is sent again: all three events are duplicates or all are new, and all are
duplicates if the call had been acknowledged. After that the counter is exactly three times the calls. People of earlier
rounds are checked at the end.

Beside them two registers are shared by clients that write and read (F17): one for a round and the start behind it, and
one for all rounds. Their histories must be linearizable.
"""

import os
import random
import signal
import threading
import time

import pytest

from conftest import profiles_pb2_grpc
from histories import SharedRegister
from journal import Writer

ROUNDS = int(os.environ.get("PROFILES_KILL_ROUNDS", "50"))
WRITERS = 8


def load(server, channel, writers, registers, seconds):
    """Runs all clients for so long and kills the server under them."""
    stub = profiles_pb2_grpc.ProfilesStub(channel)
    stop = threading.Event()
    runs = [(writer.run, (stub, stop)) for writer in writers]
    for register in registers:
        runs += register.runs(stub, stop)
    threads = [threading.Thread(target=run, args=arguments) for run, arguments in runs]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    server.stop(signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(
    "flags", [(), ("--snapshot-seconds", "1", "--segment-bytes", "1MiB")], ids=["log", "snapshots"]
)
def test_kill_under_load_loses_no_acknowledged_write(server, capsys, flags):
    server.flags = flags
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    everyone, sent, unacknowledged, kept = [], 0, 0, 0
    lasting, operations, searched, recoveries = SharedRegister(), 0, 0, []
    server.start()
    for _ in range(ROUNDS):
        writers = [Writer() for _ in range(WRITERS)]
        register = SharedRegister()
        with server.channel() as channel:
            load(server, channel, writers, [register, lasting], chance.uniform(0.05, 0.3))
        server.start()
        recoveries.append(server.metric("profiles_recovery_seconds"))
        stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        assert register.read(stub) and lasting.read(stub)
        searched += register.check()
        operations += len(register.operations)
        writers = [writer for writer in writers if writer.sent]
        for writer in writers:
            sent += writer.sent
            unacknowledged += writer.sent - len(writer.acknowledged)
            kept += writer.send_again(stub)
        everyone += writers
    for writer in everyone:
        writer.check(stub)
    lasting.check()
    log_bytes = sum(path.stat().st_blocks * 512 for path in server.data_dir.glob("*.log"))
    with capsys.disabled():
        snapshots = len(list(server.data_dir.glob("*.snapshot")))
        print(
            f"F1: seed {seed}, {ROUNDS} kills, {snapshots} snapshots left, {sent} calls, "
            f"{unacknowledged} unacknowledged of which {kept} were stored; 0 lost, 0 partial, 0 applied twice; "
            f"recovery of the last start {recoveries[-1]:.3f} s with a log of {log_bytes / 1e6:.0f} MB, longest "
            f"{max(recoveries):.3f} s"
        )
        print(
            f"F17: {ROUNDS + 1} histories of {operations + len(lasting.operations)} operations, {searched} of them "
            "searched, too; all linearizable"
        )
    assert sent > ROUNDS * WRITERS
    # With one snapshot per second, kills hit every step of them; the starts in between use snapshot and log.
    assert snapshots == (2 if flags and ROUNDS >= 20 else snapshots)
    assert server.stop() == 0
