"""A load whose calls know when they were sent and acknowledged, and what of it a crash at any moment must have left."""

import collections
import json
import threading
import time

import grpc

import histories
from conftest import profiles_pb2_grpc, wait_until
from histories import SharedRegister
from journal import CALLS_MAX, EVENTS, Writer
from operator_tools import ctl

WRITERS = 4
# Of one life, on a machine of any speed.
CALLS_MIN = 250
# Strings of 300 bytes in each write of a shared register: a frame of about twenty sectors.
PADDING = 32


class TimedWriter(Writer):
    """A writer that knows when, in microseconds since 1970, each call was sent and acknowledged."""

    def __init__(self):
        super().__init__()
        self.sent_at, self.acknowledged_at = [], {}

    def run(self, stub, stop):
        while not stop.is_set() and self.sent < CALLS_MAX:
            number = self.sent
            self.sent_at.append(time.time() * 1e6)
            self.sent += 1
            try:
                stub.Track(self.call(number), timeout=20)
            except grpc.RpcError:
                return
            self.acknowledged_at[number] = time.time() * 1e6
            self.acknowledged.add(number)

    def at(self, moment):
        """The writer as it was at a moment."""
        result = Writer()
        result.who = self.who
        # The clock of the trace is cut to microseconds.
        result.sent = sum(sent < moment + 1 for sent in self.sent_at)
        result.acknowledged = {number for number, moment_of in self.acknowledged_at.items() if moment_of < moment}
        return result

    def problem(self, person, moment):
        """What is wrong with a person as dumped, or the absence of one, after a crash at a moment."""
        then = self.at(moment)
        found = person.calls if person else {}
        if any(count != EVENTS for count in found.values()):
            return "a call was applied partially, or twice"
        if found and max(found) >= then.sent:
            return f"call {max(found)} was not sent yet"
        if lost := then.acknowledged - found.keys():
            return f"acknowledged call {min(lost)} was lost"
        if person and person.counted != EVENTS * len(found):
            return f"{person.counted} events are counted, {EVENTS * len(found)} are there"
        return None


class TimedLoad:
    """Writers of their own people, and registers that clients share, against one life of a server after another."""

    def __init__(self, registers=2):
        self.writers = []
        self.registers = [SharedRegister(PADDING if index else 0) for index in range(registers)]

    def run(self, server, seconds):
        """Runs for so long, and until enough calls are acknowledged; `end` waits for the clients."""
        channel = server.channel()
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        self.stop = threading.Event()
        writers = [TimedWriter() for _ in range(WRITERS)]
        runs = [(writer.run, (stub, self.stop)) for writer in writers]
        for register in self.registers:
            runs += register.runs(stub, self.stop, readers=1)
        self.threads = [threading.Thread(target=run, args=arguments) for run, arguments in runs]
        for thread in self.threads:
            thread.start()
        self.writers += writers
        self.channel = channel
        time.sleep(seconds)
        assert wait_until(lambda: sum(len(writer.acknowledged) for writer in writers) >= CALLS_MIN, 300)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        self.channel.close()

    @property
    def acknowledged(self):
        return sum(len(writer.acknowledged) for writer in self.writers)

    def register_problem(self, register, value, moment):
        """What is wrong with a value that is read after a crash at a moment (in microseconds)."""
        seconds = moment / 1e6
        history = [*histories.until(register.operations, seconds), histories.read(value, seconds, seconds + 1)]
        problem = histories.problem_of_zones(history)
        return problem and f"a shared register: {problem}"

    def problem(self, people, moment):
        """What is wrong with the people that were dumped after a crash at a moment; None if nothing is."""
        for writer in self.writers:
            if problem := writer.problem(people.get(writer.who.custom_id), moment):
                return problem
        for register in self.registers:
            person = people.get(register.who.custom_id)
            value = person.value if person else histories.INITIAL
            if problem := self.register_problem(register, value, moment):
                return problem
        return None

    def writers_at(self, moment):
        """The writers as they were at a moment, as far as they had sent anything."""
        then = [writer.at(moment) for writer in self.writers]
        return [writer for writer in then if writer.sent]


class Person:
    """What the checks need of a line of a dump."""

    def __init__(self, line):
        profile = line["profile"]
        self.calls = collections.Counter(int(event["event_id"].split("-")[0]) for event in line["events"])
        self.counted = sum(int(counter["count"]) for counter in profile.get("event_counters", ()))
        self.value = int(profile.get("attributes", {}).get("n", {}).get("integer", histories.INITIAL))


def dumped(folder):
    """({custom id: Person}, why the directory is rejected) by the offline tool, which recovers as a start does and
    changes nothing."""
    result = ctl("dump", folder, "--events")
    if result.returncode == 3 and "contains neither a log nor a snapshot" in result.stderr:
        # On which a server begins anew.
        return {}, None
    if result.returncode:
        return None, f"exit code {result.returncode}: {result.stderr.strip()[:300]}"
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["profile"]["custom_id"]: Person(line) for line in lines}, None

