"""Compares the change feed and the firings of triggers with the reference model."""

import queue
import random
import time

import grpc

import reference_consent as consent_of
from conftest import Failure, profiles_pb2 as rpc
from reference_compare import TIMEOUT_SECONDS, expect, lines
from reference_feed import ORDER, place, position, visible

MARKER = "marker"
FILTERS = 4


def normal(response):
    """A copy without anything that the contract leaves open, or that the run could not learn."""
    response = rpc.WatchResponse.FromString(response.SerializeToString())
    change = response.change
    change.attributes.deleted.sort()
    if not change.attributes.ListFields():
        change.ClearField("attributes")
    if change.kind == rpc.CHANGE_KIND_SUPPRESSION_CHANGED:
        change.ClearField("received_at")
    return response


def text(response):
    return f"{response.lsn} {rpc.ChangeKind.Name(response.change.kind)[12:]} {response.change.profile_id}"


class FeedComparisons:
    """The part of a run that watches."""

    def head_lsn(self):
        call = self.service.stub.Watch(rpc.WatchRequest(project="default"), timeout=TIMEOUT_SECONDS)
        lsn = next(call).lsn
        call.cancel()
        return lsn

    # MARK: The feed

    def compare_feed(self):
        """The changes of the project since the run began: all of them, those behind one of them, and with filters."""
        lsn = self.mark()
        chance = random.Random(len(self.model.changes))
        everything = rpc.WatchRequest(project=self.project, from_lsn=self.first_lsn, include_historical=True)
        self.compare_watch(everything, lsn)
        for _ in range(FILTERS):
            request = self.random_watch(chance)
            self.seen["watched with filters"] += 1
            self.compare_watch(request, lsn)

    def mark(self):
        """Writes an event of a new person and returns its lsn: a watcher that has it has everything before it."""
        self.markers += 1
        index = self.requests.projects.index(self.project)
        self.step(
            {"do": "Track", "project": index, "who": f"w{self.markers}", "events": [{"name": MARKER}], "platform": 0}
        )
        return self.last_lsn

    def random_watch(self, chance):
        """Random filters, which let the last marker pass."""
        lsns = [made.response.lsn for made in self.model.changes]
        request = rpc.WatchRequest(
            project=self.project,
            from_lsn=self.first_lsn if chance.random() < 0.3 else chance.choice(lsns),
            include_historical=chance.random() < 0.7,
        )
        if chance.random() < 0.4:
            request.kinds.extend({rpc.CHANGE_KIND_EVENT_STORED, *chance.sample(ORDER, chance.randint(1, 5))})
        if chance.random() < 0.6:
            request.identifiers.add(custom_id=f"{self.prefix}w{self.markers}")
            for name in chance.sample(self.names, min(len(self.names), chance.randint(1, 3))):
                request.identifiers.append(self.requests.identifier(name, self.first_ids))
                if chance.random() < 0.5 and name in self.first_ids:
                    request.identifiers.add(profile_id=self.first_ids[name])
        if chance.random() < 0.5:
            request.event_names.extend([MARKER, *chance.sample(["View", "buy", "open"], chance.randint(0, 2))])
            names = ["s1", "S2", "l1", "email_address", "language"]
            request.attributes.extend(chance.sample(names, chance.randint(0, 3)))
            request.channels.extend(chance.sample([1, 2, 3], chance.randint(0, 2)))
        return request

    def compare_watch(self, request, through):
        what = "Watch " + str(request).replace("\n", " ")
        expected = sorted(visible(self.model, request), key=lambda item: place(item[0]))
        found = self.watch(request, through)
        if self.project == "default":
            # Other seeds write into it at the same time.
            ours = {made.response.change.profile_id for made in self.model.changes}
            found = [response for response in found if response.change.profile_id in ours]
        positions = [position(response) for response in found]
        expect(positions == sorted(positions), f"order of {what}", "ascending", [text(response) for response in found])
        found = sorted(found, key=place)
        for response, must in expected:
            is_there = bool(found) and place(found[0]) == place(response)
            if not must and not is_there:
                continue
            if not is_there:
                expect(False, what, text(response), text(found[0]) if found else "the end")
            mine, theirs = normal(response), normal(found.pop(0))
            expect(mine == theirs, f"{what}: {text(response)}", mine, theirs)
        expect(not found, what, "the end", lines(found[0]) if found else "")

    def watch(self, request, through):
        """The changes through a marker's."""
        found, heard = [], request.from_lsn - 1
        call = self.service.stub.Watch(request, timeout=TIMEOUT_SECONDS)
        try:
            first = next(call)
            expect(not first.HasField("change") and first.lsn == heard, "first heartbeat", heard, first)
            for response in call:
                if response.HasField("change"):
                    expect(response.lsn > heard, "a change behind a heartbeat", f"> {heard}", response)
                    found.append(response)
                    if response.lsn == through and response.change.event.name == MARKER:
                        return found
                else:
                    heard = response.lsn
                if response.lsn > through:
                    break
        except grpc.RpcError as error:
            failure = Failure(error)
            expect(False, f"Watch from {request.from_lsn}", "OK", f"{failure.code} {failure.reason}")
        finally:
            call.cancel()
        return expect(False, f"Watch through {through}", "a marker", [text(response) for response in found])

    # MARK: Firings

    def compare_triggers(self):
        response = self.service.stub.ListTriggers(
            rpc.ListTriggersRequest(project=self.project), timeout=TIMEOUT_SECONDS
        )
        if self.project == "default":
            return
        expected = []
        for trigger in self.model.triggers.values():
            shown = rpc.Trigger.FromString(trigger.shown.SerializeToString())
            shown.pending = sum(firing.is_pending for firing in trigger.firings)
            self.seen["fired"] += shown.pending
            self.seen["waiting"] += len(trigger.firings) - shown.pending
            expected.append(shown)
        found = sorted(response.triggers, key=lambda trigger: trigger.trigger_id)
        expected.sort(key=lambda trigger: trigger.trigger_id)
        expect(len(found) == len(expected), "number of triggers", len(expected), len(found))
        for mine, theirs in zip(expected, found):
            expect(mine == theirs, f"ListTriggers {mine.event_name} {mine.filter}", mine, theirs)

    def compare_all_deliveries(self):
        for project in self.requests.projects[1:]:
            self.enter(project)
            if self.projects.all[project].exists and not self.projects.all[project].due:
                self.compare_deliveries()

    def compare_deliveries(self):
        """Takes every pending firing of the project's triggers; the guards settle some of them."""
        for trigger in self.model.triggers.values():
            pending = sorted((firing for firing in trigger.firings if firing.is_pending), key=lambda one: one.event.lsn)
            expected = [self.delivery(trigger.shown, firing) for firing in pending if self.is_sendable(trigger, firing)]
            self.seen["delivered"] += len(expected)
            self.seen["guarded"] += len(pending) - len(expected)
            found = self.take(trigger.shown, len(expected))
            for mine, theirs in zip(expected, found):
                expect(len(theirs.firing_id) == 26, "firing_id", "26 characters", theirs.firing_id)
                theirs.ClearField("firing_id")
                expect(mine == theirs, f"WatchTriggers {trigger.shown.event_name}", mine, theirs)
            trigger.firings = [firing for firing in trigger.firings if not firing.is_pending]
        self.compare_triggers()

    def is_sendable(self, trigger, firing):
        guard, profile = trigger.shown, self.model.profiles[firing.owner]
        return (
            not guard.guard_channel
            or consent_of.check_sendable(
                profile, self.model.suppressed, guard.guard_channel, guard.guard_topic, 1, self.model.topics_by_default
            )[0]
        )

    def delivery(self, shown, firing):
        profile = self.model.profiles[firing.owner]
        return rpc.WatchTriggersResponse(
            lsn=firing.event.lsn,
            trigger_id=shown.trigger_id,
            profile_id=profile.id,
            custom_id=profile.custom_id,
            event=firing.event,
            delivery_attempt=1,
        )

    def take(self, shown, count):
        """So many deliveries, each of which is acknowledged; a guard may leave none."""
        requests, found = queue.SimpleQueue(), []
        requests.put(rpc.WatchTriggersRequest(project=self.project, trigger_id=shown.trigger_id))
        call = self.service.stub.WatchTriggers(iter(requests.get, None), timeout=TIMEOUT_SECONDS)
        try:
            while len(found) < count:
                response = next(call)
                if not response.heartbeat:
                    found.append(response)
                    requests.put(rpc.WatchTriggersRequest(acknowledged_firing_ids=[response.firing_id]))
            self.wait_until_settled(shown.trigger_id)
        except grpc.RpcError as error:
            failure = Failure(error)
            what = f"{count} deliveries of {shown.event_name} {shown.filter}"
            expect(False, what, "OK", f"{failure.code} after {len(found)}")
        finally:
            requests.put(None)
            call.cancel()
        return found

    def wait_until_settled(self, trigger_id):
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            listed = self.service.stub.ListTriggers(
                rpc.ListTriggersRequest(project=self.project), timeout=TIMEOUT_SECONDS
            ).triggers
            if not any(trigger.pending for trigger in listed if trigger.trigger_id == trigger_id):
                return
            time.sleep(0.01)
        expect(False, "pending after all deliveries were acknowledged", 0, str(listed))
