"""Calls with keys that are created and revoked all the time: what each call must end with, by when it began.

A call whose headers are sent after the response to its key's revocation must be rejected; one that has ended before the
revocation was sent must pass. In between either is right.
"""

import collections
import random
import threading
import time

import grpc

from conftest import profiles_pb2, types_pb2
from isolation_worlds import Caller
from profiles.v1 import admin_pb2

PATH = "/profiles.v1.Profiles/Track"
OK, UNAUTHENTICATED = grpc.StatusCode.OK.value[0], grpc.StatusCode.UNAUTHENTICATED.value[0]
# Between two keys, and between two revocations.
PERIOD_SECONDS = 0.010
LIVE_KEYS = 10
# Calls with a revoked key before a connection goes on with the next one.
REJECTIONS_PER_KEY = 3


class ChurningKey:
    def __init__(self, response):
        self.key_id, self.authorization = response.key_id, f"Bearer {response.key}"
        self.is_being_revoked = self.is_revoked = False


class Churn:
    """Creates keys of a project and revokes them, and makes calls with them until it is stopped."""

    def __init__(self, base):
        self.base = base
        self.request = profiles_pb2.TrackRequest(
            project=base.project,
            identifier=types_pb2.Identifier(custom_id="somebody"),
            events=[types_pb2.Event(name="visit")],
        ).SerializeToString()
        self.live, self.revoked = collections.deque(), collections.deque(maxlen=5)
        self.lock, self.stopping, self.threads = threading.Lock(), threading.Event(), []
        self.counts, self.faults = collections.Counter(), []

    def run(self, seconds, least, sticky=4, roaming=4):
        """Runs for a time, and on until `least` of each has happened: a busy machine revokes few keys in a second."""
        jobs = [self.create, self.revoke, *[self.stick] * sticky, *[self.roam] * roaming]
        self.threads = [threading.Thread(target=self.guarded, args=(job,)) for job in jobs]
        for thread in self.threads:
            thread.start()
        begin = time.monotonic()
        while not self.stopping.wait(0.1) and time.monotonic() < begin + max(60, 2 * seconds):
            if time.monotonic() > begin + seconds and self.has_met(least):
                break
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def has_met(self, least):
        return min(self.counts[what] for what in ("created", "revoked", "passed", "rejected")) >= least

    def guarded(self, job):
        try:
            job()
        except Exception as error:
            self.faults.append(f"{job.__name__}: {error!r}")
            self.stopping.set()

    def paced(self):
        """Once each period, and no faster to catch up."""
        while not self.stopping.is_set():
            begin = time.monotonic()
            yield
            self.stopping.wait(max(0, begin + PERIOD_SECONDS - time.monotonic()))

    def create(self):
        for _ in self.paced():
            key = ChurningKey(self.base.new_key(["WRITE"]))
            with self.lock:
                self.live.append(key)
            self.counts["created"] += 1

    def revoke(self):
        for _ in self.paced():
            if len(self.live) <= LIVE_KEYS:
                continue
            key = self.live[0]
            key.is_being_revoked = True
            self.base.admin.RevokeKey(admin_pb2.RevokeKeyRequest(project=self.base.project, key_id=key.key_id))
            key.is_revoked = True
            with self.lock:
                self.live.popleft()
                self.revoked.append(key)
            self.counts["revoked"] += 1

    def call(self, caller, key):
        """One call with a key; returns whether the key had been revoked before."""
        was_revoked = key.is_revoked
        caller.authorization = key.authorization
        response = caller.call(PATH, [self.request])
        # Read after the response: a call that ended before the revocation was sent cannot have been rejected for it.
        may_fail = key.is_being_revoked
        if was_revoked:
            self.counts["rejected"] += 1
            if response.grpc != UNAUTHENTICATED:
                self.faults.append(f"passed after its revocation: {response.grpc}")
        elif not may_fail:
            self.counts["passed"] += 1
            if response.grpc != OK:
                self.faults.append(f"rejected without a revocation: {response.grpc} {response.blocks}")
        else:
            self.counts["either"] += 1
            if response.grpc not in (OK, UNAUTHENTICATED):
                self.faults.append(f"failed beside its revocation: {response.grpc} {response.blocks}")
        return was_revoked

    def stick(self):
        """One key on a connection until it is rejected: what the connection remembers of it must not outlive it."""
        caller = Caller(self.base.world.server.listen)
        while not self.stopping.is_set():
            with self.lock:
                # One of the next to be revoked, so that a connection sees many revocations.
                key = self.live[random.randrange(min(5, len(self.live)))] if self.live else None
            rejections = 0
            while key and rejections < REJECTIONS_PER_KEY and not self.stopping.is_set():
                rejections += self.call(caller, key)
        caller.close()

    def roam(self):
        """Another key for each call of a connection, live or just revoked."""
        caller = Caller(self.base.world.server.listen)
        while not self.stopping.is_set():
            with self.lock:
                # Mostly live ones: each rejection uses up a part of what an address may fail.
                chosen = self.revoked if self.revoked and random.random() < 0.1 else self.live
                key = random.choice(chosen) if chosen else None
            if key:
                self.call(caller, key)
        caller.close()
