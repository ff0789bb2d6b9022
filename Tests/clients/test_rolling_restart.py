"""Restarts by SIGTERM under load (F16): no call fails for a client that makes it again when it gets UNAVAILABLE.

The server comes back on the same address each time. A response that was lost with its connection would show: the call
that is made again is a duplicate. PROFILES_RESTARTS is the number of restarts; the longest drain is printed.
"""

import os
import signal
import threading
import time

import grpc

from conftest import get, profiles_pb2_grpc
from journal import CALLS_MAX, DUPLICATE, EVENTS, Writer

RESTARTS = int(os.environ.get("PROFILES_RESTARTS", "3"))
CLIENTS = 6
SECONDS_BETWEEN = 0.7
# Of one call: the server is away for a second at most, even on a busy machine.
ATTEMPTS_MAX = 100
PAUSE_SECONDS = 0.05


class RetryingClient:
    """Writes and reads its own people, one call after another, each until it succeeds."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = profiles_pb2_grpc.ProfilesStub(self.channel)
        self.people = []
        self.calls = self.retries = self.duplicates = 0
        self.failure = None

    def run(self, stop):
        try:
            while not stop.is_set():
                if not self.people or self.people[-1].sent == CALLS_MAX:
                    self.people.append(Writer())
                self.step(self.people[-1])
        except Exception as error:
            self.failure = error

    def step(self, writer):
        results = self.make(self.stub.Track, writer.call(writer.sent)).results
        writer.sent += 1
        self.duplicates += any(result.status == DUPLICATE for result in results)
        counters = self.make(self.stub.GetProfile, get(writer.who)).profile.event_counters
        assert counters[0].count == EVENTS * writer.sent, "a call was applied twice, or not at all"

    def make(self, call, request):
        """Makes a call until it has a response other than UNAVAILABLE."""
        self.calls += 1
        for _ in range(ATTEMPTS_MAX):
            try:
                # While there is no connection a call waits, so that only the server's own UNAVAILABLE counts.
                return call(request, timeout=60, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                self.retries += 1
                time.sleep(PAUSE_SECONDS)
        raise TimeoutError(f"UNAVAILABLE {ATTEMPTS_MAX} times")


def test_F16_restarts_under_load_fail_no_call_of_a_client_that_retries(server, capsys):
    server.address = server.start().listen
    clients = [RetryingClient(server.listen) for _ in range(CLIENTS)]
    stop, drains = threading.Event(), []
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        for _ in range(RESTARTS):
            time.sleep(SECONDS_BETWEEN)
            start = time.monotonic()
            assert server.stop(signal.SIGTERM) == 0
            drains.append(time.monotonic() - start)
            server.start()
        time.sleep(SECONDS_BETWEEN)
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)
    assert [client.failure for client in clients if client.failure] == []
    calls, retries = sum(client.calls for client in clients), sum(client.retries for client in clients)
    duplicates = sum(client.duplicates for client in clients)
    people = [writer for client in clients for writer in client.people]
    for writer in people:
        writer.check(clients[0].stub)
    for client in clients:
        client.channel.close()
    with capsys.disabled():
        print(
            f"F16: {RESTARTS} restarts, {calls} calls, {retries} attempts were UNAVAILABLE, 0 calls failed, "
            f"{duplicates} responses lost; drain {sorted(drains)[len(drains) // 2]:.2f} s, longest {max(drains):.2f} s"
        )
    assert calls > RESTARTS * CLIENTS and duplicates == 0
    assert server.stop() == 0
