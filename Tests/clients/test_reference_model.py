"""The service against the reference model: seeded random operations, every response, every profile, counts and lists by
random filters, the change feed and the firings of triggers compared.

Each seed has five projects with options of their own and the same names, ids and request ids in all of them.
PROFILES_MODEL_SEEDS is the number of seeds (1,000 in `make model-test`), PROFILES_MODEL_OPERATIONS the operations per
seed, PROFILES_MODEL_FIRST the first seed. Every tenth seed has a server of its own, which takes a snapshot and some
operations later is killed with SIGKILL during a request that is then repeated. A difference is shrunk: operations are
removed as long as the results still differ. With PROFILES_MODEL_STRICT=1 an RPC that is not built is a failure,
otherwise its operations are omitted.
"""

import collections
import multiprocessing
import os
import pathlib
import pprint
import signal
import tempfile
import time
import traceback

import grpc
import pytest
from google.protobuf import message_factory

from conftest import Server, profiles_pb2 as rpc, profiles_pb2_grpc
from profiles.v1 import admin_pb2, admin_pb2_grpc
from reference_compare import TIMEOUT_SECONDS, Difference
from reference_operations import ERASURES, MANY_ATTRIBUTES, MANY_DEVICES, REPAIRS, Generator, Shape
from reference_run import Run

SEEDS = int(os.environ.get("PROFILES_MODEL_SEEDS", "40"))
OPERATIONS = int(os.environ.get("PROFILES_MODEL_OPERATIONS", "200"))
FIRST = int(os.environ.get("PROFILES_MODEL_FIRST", "0"))
STRICT = os.environ.get("PROFILES_MODEL_STRICT") == "1"
# Several seeds run concurrently, so that their writes share syncs.
WORKERS = int(os.environ.get("PROFILES_MODEL_WORKERS", str(2 * (os.cpu_count() or 2))))
# A difference is shrunk until nothing more can be removed, or for this long.
SHRINK_SECONDS = 120
KILL_EVERY = 10
# Of a server without the option.
DELETE_SECONDS = 86_400
# About the duration of a write, so that kills hit before, during and after it.
KILL_SECONDS_MAX = 0.006
# The seeds, modulo seven, with full profiles, with many erasures and with many merges that are undone.
SHAPES = {1: ERASURES, 2: REPAIRS, 3: MANY_ATTRIBUTES, 4: REPAIRS, 5: ERASURES, 6: MANY_DEVICES}
WRITES = (
    "Identify",
    "Track",
    "UpdateSubscription",
    "AddSuppression",
    "RemoveSuppression",
    "BatchWrite",
    "ImportProfiles",
    "EraseProfile",
    "MergeProfiles",
    "UnmergeProfile",
    "DetachInstallation",
    "CreateProject",
    "UpdateProject",
    "DeleteProject",
    "CreateTrigger",
    "DeleteTrigger",
)
READS = (
    "GetProject",
    "GetStats",
    "GetProfile",
    "CountProfiles",
    "ListProfiles",
    "ListEvents",
    "ListConsentHistory",
    "CheckSendable",
    "ListTriggers",
    "Watch",
    "WatchTriggers",
    "ExportProfile",
    "ExportProject",
)


class Service:
    """The server of a run; `own` is a server that the run may kill."""

    def __init__(self, listen, own=None, delete_seconds=DELETE_SECONDS):
        self.own, self.delete_seconds = own, delete_seconds
        self.connect(listen)

    def connect(self, listen):
        self.channel = grpc.insecure_channel(listen, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = profiles_pb2_grpc.ProfilesStub(self.channel)
        self.admin = admin_pb2_grpc.AdminStub(self.channel)

    def stub_of(self, method):
        return self.admin if hasattr(self.admin, method) else self.stub

    def take_snapshot(self):
        self.admin.CreateSnapshot(admin_pb2.CreateSnapshotRequest(), timeout=TIMEOUT_SECONDS)

    def kill_and_restart(self):
        self.channel.close()
        self.own.stop(signal.SIGKILL)
        self.own.start()
        self.connect(self.own.listen)


def built(service):
    """The RPCs that do not return UNIMPLEMENTED to an empty request."""
    names = set()
    for method in [
        *rpc.DESCRIPTOR.services_by_name["Profiles"].methods,
        *admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods,
    ]:
        if method.name in WRITES + READS:
            call = getattr(service.stub_of(method.name), method.name)
            try:
                request = message_factory.GetMessageClass(method.input_type)()
                response = call(iter([request]) if method.client_streaming else request, timeout=TIMEOUT_SECONDS)
                if method.server_streaming:
                    next(response)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    continue
            names.add(method.name)
    return names


def plan(seed, names):
    """The operations of a seed, and the indices at which its server is killed, with the delay after the request."""
    generator = Generator(seed, SHAPES.get(seed % 7, Shape()), names)
    operations = generator.operations(OPERATIONS)
    kills, chance = {}, generator.chance
    if seed % KILL_EVERY == KILL_EVERY - 1:
        imports = [index for index, operation in enumerate(operations) if operation["do"] == "ImportProfiles"]
        indices = [chance.randrange(OPERATIONS), chance.choice(imports or [0]), chance.randrange(OPERATIONS)]
        kills = {index: chance.uniform(0, KILL_SECONDS_MAX) for index in indices[: chance.choice([1, 2, 3])]}
    return operations, kills


_attempts = iter(range(1, 1 << 62))


def play(service, seed, operations, kills, names, seen=None):
    """The first difference of a seed, as (index of the operation, text), or None; `seen` counts the outcomes."""
    attempt = next(_attempts)
    number = (os.getpid() * 100_000 + attempt) * 7 + time.time_ns() // 1_000_000
    run = Run(service, f"{os.getpid()}x{attempt}x{seed}-", number)
    # A snapshot up to 30 operations before a kill: the start finds those in the log, and everything earlier in the
    # snapshot.
    snapshots = {max(0, index - seed % 31) for index in kills}
    for index, operation in enumerate(operations):
        try:
            if index in snapshots:
                service.take_snapshot()
            run.step(operation, kills.get(index))
            if index in kills:
                run.compare_all(names)
        except Difference as difference:
            return index, str(difference)
    try:
        run.compare_all(names)
        if "WatchTriggers" in names:
            run.compare_all_deliveries()
    except Difference as difference:
        return len(operations) - 1, f"at the end: {difference}"
    if seen is not None:
        seen.update(run.seen)
    return None


def kind_of(found):
    """What differs, without names and numbers: a smaller history must differ in the same."""
    return found[1].split("\n")[0].removeprefix("at the end: ").split(" ")[:1]


def replay(service, seed, operations, names, kind):
    """The first difference, if it is of that kind."""
    again = play(service, seed, operations, {}, names) if operations else None
    return again if again and kind_of(again) == kind else None


def shrink(service, seed, operations, names, found):
    """Removes operations as long as the results still differ; large parts first."""
    operations, deadline = operations[: found[0] + 1], time.monotonic() + SHRINK_SECONDS
    size = max(1, len(operations) // 2)
    while size and time.monotonic() < deadline:
        start, dropped = 0, False
        while start < len(operations) and time.monotonic() < deadline:
            fewer = operations[:start] + operations[start + size :]
            again = replay(service, seed, fewer, names, kind_of(found))
            if again:
                operations, found, dropped = fewer[: again[0] + 1], again, True
            else:
                start += size
        if not (dropped and size == 1):
            size //= 2
    return shrink_batches(service, seed, operations, names, found, deadline)


def shrink_batches(service, seed, operations, names, found, deadline):
    """Removes operations from the remaining batches and chunks."""
    for index, batch in enumerate(operations):
        inner = 0
        if batch["do"] not in ("BatchWrite", "ImportProfiles"):
            continue
        while inner < len(batch["operations"]) > 1 and time.monotonic() < deadline:
            fewer = dict(batch, operations=batch["operations"][:inner] + batch["operations"][inner + 1 :])
            again = replay(service, seed, operations[:index] + [fewer] + operations[index + 1 :], names, kind_of(found))
            if again:
                batch, found = fewer, again
                operations = operations[:index] + [batch] + operations[index + 1 :]
            else:
                inner += 1
    return operations, found


def run_seed(seed, listen, names, seen):
    """None, or a text with the difference and the shrunk operations."""
    operations, kills = plan(seed, names)
    if not kills:
        return describe_difference(Service(listen), seed, operations, kills, names, seen)
    with tempfile.TemporaryDirectory(prefix="profiles-model-") as folder:
        # On every second one nothing deleted comes back, and its data goes while the run goes on.
        delay = 0 if seed // KILL_EVERY % 2 else DELETE_SECONDS
        own = Server(pathlib.Path(folder) / "data", "--project-delete-seconds", str(delay)).start()
        try:
            return describe_difference(Service(own.listen, own, delay), seed, operations, kills, names, seen)
        finally:
            own.stop(signal.SIGKILL)


def describe_difference(service, seed, operations, kills, names, seen):
    try:
        found = play(service, seed, operations, kills, names, seen)
        if not found:
            return None
        without_kills = play(service, seed, operations, {}, names) if kills else found
        if not without_kills:
            return f"seed {seed}: differs only after a kill\n{found[1]}\nkills after {sorted(kills)}"
        fewer, difference = shrink(service, seed, operations, names, without_kills)
        return f"seed {seed}: {difference[1]}\n  operations, shrunk from {found[0] + 1}:\n" + "\n".join(
            pprint.pformat(operation, width=140, compact=True) for operation in fewer
        )
    finally:
        service.channel.close()


def work(seeds, responses, listen, names):
    while (seed := seeds.get()) is not None:
        seen = collections.Counter()
        try:
            responses.put((run_seed(seed, listen, names, seen), seen))
        except Exception:
            responses.put((f"seed {seed}: {traceback.format_exc()}", seen))


def test_service_responds_like_the_model(shared):
    service = Service(shared.listen)
    names = built(service)
    service.channel.close()
    missing = sorted(set(WRITES + READS) - names)
    print(f"omitted, not built: {missing}" if missing else "nothing omitted")
    assert not (STRICT and missing), f"not built: {missing}"
    # Processes, because one interpreter is slower than the service; `spawn`, because gRPC does not support fork.
    context = multiprocessing.get_context("spawn")
    seeds, responses = context.Queue(), context.Queue()
    workers = [
        context.Process(target=work, args=(seeds, responses, shared.listen, names), daemon=True)
        for _ in range(min(WORKERS, SEEDS))
    ]
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for seed in list(range(FIRST, FIRST + SEEDS)) + [None] * len(workers):
        seeds.put(seed)
    differences, seen = [], collections.Counter()
    for text, its in (responses.get(timeout=1_800) for _ in range(SEEDS)):
        seen.update(its)
        differences += [text] * bool(text)
    for worker in workers:
        worker.join(60)
    print(f"{SEEDS} seeds of {OPERATIONS} operations in {time.monotonic() - started:.0f} s: {len(differences)} differ")
    print("seen: " + ", ".join(f"{count} {name}" for name, count in sorted(seen.items())))
    if differences:
        pytest.fail("\n\n".join(differences[:10]), pytrace=False)
