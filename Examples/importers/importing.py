"""Sends operations to ImportProfiles in chunks, and goes on after a lost connection or another run of the program.

The id of a chunk is made of its number and of the bytes that it was read from. A chunk that the service knows is done
already, and one that was cut off goes on where it was: no position is kept here.
"""

import hashlib
import sys
import time

import grpc
from profiles.v1 import profiles_pb2 as p, profiles_pb2_grpc

# Each rejected operation is named: a response lists so many.
OPERATIONS_MAX = 1_000
BYTES_MAX = 1 << 20
CALL_SECONDS = 300
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.2, 5


class Chunk:
    """Records that are sent together: the number of each one's line, and how many operations it became."""

    def __init__(self, number):
        self.number, self.digest = number, hashlib.sha256()
        self.operations, self.lines, self.bytes = [], [], 0

    def add(self, line, source, operations):
        self.digest.update(source + b"\n")
        for operation in operations:
            self.operations.append(operation)
            self.lines.append(line)
            self.bytes += operation.ByteSize()

    @property
    def is_full(self):
        return len(self.operations) >= OPERATIONS_MAX - 1 or self.bytes >= BYTES_MAX

    def request(self, project, is_dry_run):
        return p.ImportProfilesRequest(
            project=project,
            chunk_id=f"{self.digest.hexdigest()[:32]}-{self.number}",
            operations=self.operations,
            validate_only=is_dry_run,
        )


def chunks(records):
    """Chunks of records, each a line number, the bytes it was read from, and one or two operations (or none)."""
    chunk = Chunk(0)
    for line, source, operations in records:
        chunk.add(line, source, operations)
        if chunk.is_full:
            yield chunk
            chunk = Chunk(chunk.number + 1)
    if chunk.operations:
        yield chunk


class Import:
    """One import over one server; what it prints goes to standard error."""

    def __init__(self, options):
        self.options = options
        self.counts = {"applied": 0, "unchanged": 0, "rejected": 0}

    def run(self, records):
        waiting, source, pause = [], chunks(records), PAUSE_SECONDS
        while True:
            try:
                self.stream(waiting, source)
                return self.counts
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                print(f"{error.details()}; trying again", file=sys.stderr)
                time.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def stream(self, waiting, source):
        """One call: first the chunks without a response, then new ones."""

        def requests():
            for chunk in list(waiting):
                yield chunk.request(self.options.project, self.options.dry_run)
            for chunk in source:
                waiting.append(chunk)
                yield chunk.request(self.options.project, self.options.dry_run)

        metadata = [("authorization", f"Bearer {self.options.key}")] if self.options.key else []
        with grpc.insecure_channel(self.options.server) as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            for response in stub.ImportProfiles(requests(), timeout=CALL_SECONDS, metadata=metadata):
                self.settle(waiting.pop(0), response)

    def settle(self, chunk, response):
        for name in self.counts:
            self.counts[name] += getattr(response, name)
        for rejection in response.rejections:
            print(f"line {chunk.lines[rejection.index]}: {rejection.error.message}", file=sys.stderr)


def add_options(parser):
    parser.add_argument("file", help="the file to import")
    parser.add_argument("--server", default="127.0.0.1:50051", help="address of the service (%(default)s)")
    parser.add_argument("--project", default="default", help="the project (%(default)s)")
    parser.add_argument("--key", help="a key with the scope WRITE")
    parser.add_argument("--dry-run", action="store_true", help="only checks: nothing is imported")


def main(parser, read):
    """Imports what `read` makes of the file; the exit code is 5 if something was rejected."""
    add_options(parser)
    options = parser.parse_args()
    counts = Import(options).run(read(options))
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    return 5 if counts["rejected"] else 0
