"""kill -9 under load (F1): no acknowledged write is lost, none is applied partially or twice.

Each writer has a person of its own in each round and numbers its calls; a call is a Track of three events whose ids
contain the number. A journal in memory knows which calls were sent and which were acknowledged. After each kill the
server is started again and every call is sent again: all three events are duplicates or all are new, and all are
duplicates if the call had been acknowledged. After that the counter is exactly three times the calls. People of earlier
rounds are checked at the end.
"""

import os
import random
import signal
import threading
import time

import pytest

from conftest import profiles_pb2_grpc
from journal import Writer

ROUNDS = int(os.environ.get("PROFILES_KILL_ROUNDS", "50"))
WRITERS = 8


@pytest.mark.parametrize(
    "flags", [(), ("--snapshot-seconds", "1", "--segment-bytes", "1MiB")], ids=["log", "snapshots"]
)
def test_kill_under_load_loses_no_acknowledged_write(server, capsys, flags):
    server.flags = flags
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    everyone, sent, unacknowledged, kept = [], 0, 0, 0
    server.start()
    for _ in range(ROUNDS):
        writers = [Writer() for _ in range(WRITERS)]
        stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        stop = threading.Event()
        threads = [threading.Thread(target=writer.run, args=(stub, stop)) for writer in writers]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.05, 0.3))
        server.stop(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join(60)
        server.start()
        stub = profiles_pb2_grpc.ProfilesStub(server.channel())
        writers = [writer for writer in writers if writer.sent]
        for writer in writers:
            sent += writer.sent
            unacknowledged += writer.sent - len(writer.acknowledged)
            kept += writer.send_again(stub)
        everyone += writers
    for writer in everyone:
        writer.check(stub)
    with capsys.disabled():
        snapshots = len(list(server.data_dir.glob("*.snapshot")))
        print(
            f"F1: seed {seed}, {ROUNDS} kills, {snapshots} snapshots left, {sent} calls, "
            f"{unacknowledged} unacknowledged of which {kept} were stored; 0 lost, 0 partial, 0 applied twice"
        )
    assert sent > ROUNDS * WRITERS
    # With one snapshot per second, kills hit every step of them; the starts in between use snapshot and log.
    assert snapshots == (2 if flags and ROUNDS >= 20 else snapshots)
    assert server.stop() == 0
