"""Random operations for the reference model: plain dictionaries that can be printed, removed individually, and sent
under any prefix.

Devices are `d0`, `d1`, ..., people `c0`, `c1`, ...; times are whole seconds relative to the start of the run (None: not
given); a revision is `right`, `wrong` or `new` and is looked up in the model when the request is made.
"""

import random
from dataclasses import dataclass

from conftest import types_pb2 as types
from reference_triggers import DELAY_SECONDS, PERIOD_SECONDS, random_filter

# The first one is `default`, which seeds share; the others are a seed's own.
PROJECTS = 5
# The shares of the calls: most of them of one project, so that its profiles become full.
PROJECT_WEIGHTS = (1, 6, 1, 1, 1)
EVENT_NAMES = ["view", "View", "buy", "open"]
SCALARS = {
    "s1": lambda chance: {"integer": chance.randrange(4)},
    "s2": lambda chance: {"string": chance.choice("xyz")},
    "s3": lambda chance: {"boolean": chance.random() < 0.5},
    "s4": lambda chance: {"number": chance.choice([0.5, -1.25, 1e300])},
    # Values may be of any year from 1 to 9999: people are born before 1971.
    "s6": lambda chance: {"time": {"seconds": chance.choice([-62_135_596_800, -1_000_000_001, 0, 1_700_000_000])}},
    "s5": lambda chance: {"url": f"https://example.org/{chance.randrange(3)}"},
}
NATIVES = {
    "email_address": lambda chance: f"e{chance.randrange(4)}",
    "phone_number": lambda chance: f"p{chance.randrange(4)}",
    "language": lambda chance: chance.choice(["en", "de", "pt-BR"]),
    "region": lambda chance: chance.choice(["DE", "FR"]),
    "timezone": lambda chance: chance.choice(["Europe/Berlin", "America/New_York"]),
}


@dataclass
class Shape:
    """The number of names in a seed, and the probabilities of its operations."""

    people: int = 6
    devices: int = 6
    names: tuple = tuple(SCALARS)
    elements: str = "abcdefgh"
    topics: int = 4
    patch_items: int = 3
    patch_share: float = 0.7
    # Shares of the calls with a device that introduce a new device, and that name the person.
    new_device_share: float = 0.0
    person_share: float = 0.6
    # Share of the patches that always write the list l1.
    list_share: float = 0.0
    # Share of the run after which erasures begin, because they leave little data.
    erase_from: float = 0.0
    weights: tuple = (
        ("Identify", 45),
        ("Track", 20),
        ("UpdateSubscription", 20),
        ("AddSuppression", 3),
        ("RemoveSuppression", 2),
        ("BatchWrite", 10),
        ("ImportProfiles", 8),
        ("EraseProfile", 1),
        ("MergeProfiles", 3),
        ("UnmergeProfile", 3),
        ("DetachInstallation", 2),
        ("CreateProject", 1),
        ("UpdateProject", 3),
        ("DeleteProject", 1),
        ("CreateTrigger", 3),
        ("DeleteTrigger", 1),
    )


# Full profiles: they reach the limits of installations, attributes, list elements and topics.
MANY_DEVICES = Shape(
    people=1,
    devices=20,
    new_device_share=0.9,
    person_share=0.85,
    patch_share=0.3,
    erase_from=0.9,
    weights=(("Identify", 90), ("Track", 8), ("EraseProfile", 2)),
)
MANY_ATTRIBUTES = Shape(
    people=2,
    devices=8,
    names=tuple(f"n{number}" for number in range(58)),
    topics=28,
    patch_items=9,
    person_share=0.4,
    list_share=0.6,
    elements="abcdefghijklmnopqrstuvwxyzABCDEFGH",
    weights=(("Identify", 70), ("Track", 5), ("UpdateSubscription", 25)),
)

# Erasures from the beginning, with enough names to continue.
ERASURES = Shape(
    people=14,
    devices=14,
    weights=(
        ("Identify", 40),
        ("Track", 22),
        ("UpdateSubscription", 14),
        ("AddSuppression", 1),
        ("RemoveSuppression", 1),
        ("BatchWrite", 12),
        ("EraseProfile", 6),
        ("MergeProfiles", 4),
        ("UnmergeProfile", 3),
        ("DetachInstallation", 2),
        ("UpdateProject", 2),
        ("DeleteProject", 2),
        ("CreateTrigger", 4),
        ("DeleteTrigger", 1),
    ),
)

# Merges that chain, and are undone in any order with writes between.
REPAIRS = Shape(
    people=7,
    devices=9,
    weights=(
        ("Identify", 34),
        ("Track", 16),
        ("UpdateSubscription", 14),
        ("AddSuppression", 1),
        ("BatchWrite", 5),
        ("ImportProfiles", 4),
        ("EraseProfile", 1),
        ("MergeProfiles", 14),
        ("UnmergeProfile", 12),
        ("DetachInstallation", 3),
        ("UpdateProject", 2),
        ("CreateTrigger", 3),
        ("DeleteTrigger", 1),
    ),
)


class Generator:
    def __init__(self, seed, shape, kinds):
        self.chance, self.shape = random.Random(seed), shape
        self.kinds = kinds
        self.weights = [(kind, weight) for kind, weight in shape.weights if kind in kinds]
        # Few distinct times, so that equal times are common and many operations arrive late.
        self.times = [-self.chance.randrange(20 * 3_600) for _ in range(25)]
        self.sent, self.chunks = [], []
        self.progress, self.devices = 0.0, 0
        # When each project is made, and the deletions that will be undone.
        self.due = {}

    def operations(self, count):
        operations = []
        if any(kind == "CreateProject" for kind in self.kinds):
            for project in range(1, PROJECTS):
                at = 0 if project == 1 else self.chance.randrange(count // 8)
                self.due.setdefault(at, []).append({"do": "CreateProject", "project": project, **self.told()})
        if any(kind == "CreateTrigger" for kind in self.kinds):
            self.due.setdefault(1, []).extend({**self.CreateTrigger(), "project": 1} for _ in range(4))
        for number in range(count):
            self.progress = number / count
            self.number = number
            due = self.due.pop(number, [])
            self.due.setdefault(number + 1, []).extend(due[1:])
            operations.append(due[0] if due else self.operation())
        return operations

    def project(self):
        return self.chance.choices(range(PROJECTS), PROJECT_WEIGHTS)[0]

    def operation(self):
        chance = self.chance
        if self.sent and chance.random() < 0.04:
            again = dict(chance.choice(self.sent), **({"request": "r0"} if chance.random() < 0.1 else {}))
            # The same message and request id in another project is another call.
            if again["project"] and chance.random() < 0.2:
                again["project"] = chance.randrange(1, PROJECTS)
            # A retry often stamps the time of sending anew.
            return dict(again, sent=-chance.randrange(600)) if chance.random() < 0.3 and "events" in again else again
        kind = chance.choices([kind for kind, _ in self.weights], [weight for _, weight in self.weights])[0]
        if kind == "EraseProfile" and self.progress < self.shape.erase_from:
            kind = "Identify"
        operation = {"project": self.project(), **getattr(self, kind)()}
        if chance.random() < 0.12:
            operation["request"] = f"r{len(self.sent)}"
            self.sent.append(operation)
        return operation

    # MARK: Projects

    def own_project(self):
        """Other seeds use `default` at the same time."""
        return self.chance.randrange(1, PROJECTS)

    def told(self):
        """Some options with small limits, so that they are reached."""
        chance = self.chance
        return {
            "options": self.some(
                merge_policy=self.maybe(0.5, lambda: types.MERGE_POLICY_LATEST_WINS),
                topic_default_unsubscribed=self.maybe(0.5, lambda: True),
                late_window_seconds=self.maybe(0.5, lambda: chance.choice([3_600, 86_400, 200_000])),
                event_retention_days=self.maybe(0.5, lambda: chance.choice([2, 90])),
                events_per_profile_max=self.maybe(0.5, lambda: chance.choice([1, 3, 1_000])),
            )
        }

    def CreateProject(self):
        return {"do": "CreateProject", "project": self.own_project(), **self.told()}

    def UpdateProject(self):
        paths = [
            "merge_policy",
            "topic_default_unsubscribed",
            "late_window_seconds",
            "event_retention_days",
            "events_per_profile_max",
        ]
        mask = self.maybe(0.7, lambda: sorted(self.chance.sample(paths, self.chance.randint(1, 3))))
        return self.some(do="UpdateProject", project=self.own_project(), mask=mask, **self.told())

    def DeleteProject(self):
        operation = {"do": "DeleteProject", "project": self.own_project()}
        if self.chance.random() < 0.2:
            return {**operation, "undo": True}
        if self.chance.random() < 0.95:
            at = self.number + self.chance.randint(1, 8)
            self.due.setdefault(at, []).append({**operation, "undo": True})
        return operation

    # MARK: Triggers

    def CreateTrigger(self):
        """Of `default` other seeds' events would fire them."""
        chance = self.chance
        trigger = self.some(
            event_name=chance.choice(EVENT_NAMES),
            filter=self.maybe(0.8, lambda: random_filter(chance)),
            delay_seconds=self.maybe(0.3, lambda: DELAY_SECONDS),
            guard_channel=self.maybe(0.3, lambda: chance.choice([1, 2, 3])),
        )
        if "delay_seconds" in trigger and chance.random() < 0.6:
            trigger["unless_event_name"] = chance.choice(EVENT_NAMES)
        if "guard_channel" in trigger and chance.random() < 0.5:
            trigger["guard_topic"] = "t1"
        if chance.random() < 0.3:
            trigger["cap"], trigger["cap_period_seconds"] = chance.choice([1, 2, 5]), PERIOD_SECONDS
        return {"do": "CreateTrigger", "project": self.triggered_project(), "trigger": trigger}

    def DeleteTrigger(self):
        project = self.triggered_project()
        return {"do": "DeleteTrigger", "project": project, "trigger": self.chance.randrange(8)}

    def triggered_project(self):
        return self.chance.choices(range(1, PROJECTS), PROJECT_WEIGHTS[1:])[0]

    # MARK: Parts of operations

    def maybe(self, probability, make):
        return make() if self.chance.random() < probability else None

    def some(self, **fields):
        return {name: value for name, value in fields.items() if value is not None}

    def device(self):
        if self.chance.random() < self.shape.new_device_share:
            self.devices += 1
            return f"d{self.devices}"
        return f"d{self.chance.randrange(self.shape.devices)}"

    def person(self):
        # Occasionally an unknown person, so that promotions keep occurring.
        if self.chance.random() < 0.06:
            return f"c{self.shape.people + self.chance.randrange(6)}"
        return f"c{self.chance.randrange(self.shape.people)}"

    def time(self):
        """Mostly increasing times, often one of a few; rarely none, because then everything that follows is older."""
        kind = self.chance.random()
        if kind < 0.02 + 0.25 * self.progress**3:
            return None
        now = -int(20 * 3_600 * (1 - self.progress)) - 660
        if kind < 0.35:
            return self.chance.choice([at for at in self.times if at < now] or [now])
        return now + self.chance.choice([-600, -60, 0, 0, 60])

    def sent_at(self, at):
        return (
            self.maybe(0.15, lambda: at + self.chance.choice([-5, 0, 60, 3_000, 3_000_000])) if at is not None else None
        )

    def revision(self):
        return self.maybe(0.08, lambda: self.chance.choice(["right", "right", "wrong", "new"]))

    def identifier(self):
        chance = self.chance.random()
        if chance < 0.1:
            # The profile_id of the first holder of the device or person; it may have been merged since.
            return "id of " + (self.device() if self.chance.random() < 0.6 else self.person())
        return "id of nobody" if chance < 0.11 else self.device() if chance < 0.55 else self.person()

    def Identify(self):
        chance = self.chance
        device = self.maybe(0.85, self.device)
        person = self.person()
        if device and chance.random() > self.shape.person_share:
            person = chance.choice(["nobody", None])
        at = self.time()
        return self.some(
            do="Identify",
            device=device,
            person=person,
            at=at,
            sent=self.sent_at(at),
            revision=self.revision(),
            platform=chance.randrange(0, 6),
            patch=self.maybe(self.shape.patch_share, self.patch),
        )

    def patch(self):
        chance, patch = self.chance, {}
        if chance.random() < 0.02:
            return {"add": {chance.choice(self.shape.names): ["a"]}}
        names = [*self.shape.names, "l1", "l2", "l3", *NATIVES]
        chosen = chance.sample(names, chance.randint(1, self.shape.patch_items))
        if self.shape.list_share and chance.random() < self.shape.list_share:
            chosen = list(dict.fromkeys(chosen + ["l1"]))
        for name in chosen:
            if chance.random() < 0.15:
                patch.setdefault("delete", []).append(name)
            elif name in NATIVES:
                patch.setdefault("native", {})[name] = NATIVES[name](chance)
            elif name in ("l1", "l2", "l3"):
                action = chance.choices(["list", "add", "remove"], [1, 3, 2])[0]
                least, most = 0 if action == "list" else 1, max(5, len(self.shape.elements) // 3)
                texts = chance.sample(self.shape.elements, chance.randint(least, most))
                patch.setdefault(action, {})[name] = texts
            else:
                shown = name.upper() if chance.random() < 0.1 else name
                patch.setdefault("set", {})[shown] = SCALARS.get(name, SCALARS["s1"])(chance)
        return patch

    def Track(self):
        chance = self.chance
        historical = chance.random() < 0.1
        events = [self.event(historical) for _ in range(chance.choice([1, 1, 2, 3, 5]))]
        if historical:
            events.append({"name": "now"})
        return self.some(
            do="Track",
            who=self.identifier(),
            events=events,
            sent=self.maybe(0.1, lambda: chance.choice(self.times) + 60),
            platform=chance.randrange(0, 6),
            revision=self.revision(),
            historical=historical or None,
            partial=self.maybe(0.4, lambda: True),
            must_exist=self.maybe(0.1, lambda: True),
        )

    def event(self, historical):
        chance = self.chance
        at = self.time()
        if chance.random() < 0.04:
            at = chance.choice([-30 * 3_600, -100 * 86_400, 120, 900])
        return self.some(
            name=chance.choice(EVENT_NAMES),
            id=self.maybe(0.8, lambda: f"e{chance.randrange(40)}"),
            at=at,
            value=self.maybe(0.5, lambda: chance.randrange(2)),
            label=self.maybe(0.2, lambda: chance.choice("ab")),
        )

    def UpdateSubscription(self):
        chance = self.chance
        source = chance.choices([1, 2, 3, 4, 5, 6, 7], [4, 1, 3, 2, 4, 1, 2])[0]
        changes = []
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            channel = 2 if source == 3 else chance.randint(1, 3)
            state = 4 if source == 2 else chance.choices([3, 4, 1], [5, 4, 1])[0]
            topic = "" if chance.random() < 0.5 else f"t{chance.randrange(self.shape.topics)}"
            changes.append([channel, topic.upper() if chance.random() < 0.1 else topic, state])
        at = self.time()
        return self.some(
            do="UpdateSubscription",
            who=self.identifier(),
            changes=changes,
            source=source,
            at=at,
            sent=self.sent_at(at),
            reference=self.maybe(0.4, lambda: "ticket"),
            revision=self.revision(),
        )

    def EraseProfile(self):
        return self.some(do="EraseProfile", who=self.identifier(), revision=self.revision())

    def MergeProfiles(self):
        return self.some(
            do="MergeProfiles",
            loser=self.identifier(),
            survivor=self.identifier(),
            allow=self.chance.random() < 0.8,
            revision=self.revision(),
            undo_merge=self.maybe(0.2, lambda: True),
        )

    def UnmergeProfile(self):
        """Mostly of a merge that can still be undone; -1 is one that never was."""
        return {"do": "UnmergeProfile", "merge": self.chance.randrange(-1, 8)}

    def DetachInstallation(self):
        return {"do": "DetachInstallation", "device": self.device()}

    def AddSuppression(self):
        channel = self.chance.choice([1, 2])
        return {
            "do": "AddSuppression",
            "channel": channel,
            "address": f"{'ep'[channel - 1]}{self.chance.randrange(4)}",
            "reason": self.chance.randint(1, 4),
        }

    def RemoveSuppression(self):
        return dict(self.AddSuppression(), do="RemoveSuppression", reason=self.chance.randint(0, 4))

    def BatchWrite(self):
        inner = [kind for kind, _ in self.weights if kind in ("Identify", "Track", "UpdateSubscription")]
        operations = [getattr(self, self.chance.choice(inner))() for _ in range(self.chance.choice([1, 2, 3, 6]))]
        return {"do": "BatchWrite", "best_effort": self.chance.random() < 0.5, "operations": operations}

    def ImportProfiles(self):
        """A chunk of many operations, some of them wrong; events have ids of their own, and nothing depends on the time
        of receipt, which no response tells."""
        chance = self.chance
        if self.chunks and chance.random() < 0.12:
            return dict(chance.choice(self.chunks), **({"chunk": "k0"} if chance.random() < 0.2 else {}))
        operations = [self.imported() for _ in range(chance.choice([1, 2, 4, 7, 12]))]
        if chance.random() < 0.1:
            # So many lsns that the chunk enters the log in two parts.
            nobody = [{"name": "view", "at": -660, "id": f"n{number}"} for number in range(15)]
            whole = {"do": "Track", "who": "id of nobody", "events": nobody, "platform": 0, "must_exist": True}
            operations = [whole] * 67 + operations
        chunk = {"do": "ImportProfiles", "chunk": f"k{len(self.chunks)}", "operations": operations}
        self.chunks.append(chunk)
        return chunk

    def imported(self):
        chance = self.chance
        inner = getattr(self, chance.choice(["Identify", "Track", "UpdateSubscription"]))()
        for name in ("partial", "sent"):
            inner.pop(name, None)
        if chance.random() < 0.5:
            inner.pop("revision", None)
        for its in inner.get("events", [inner]):
            if its.get("at") is None:
                its["at"] = -660
        for number, its in enumerate(inner.get("events", [])):
            its.setdefault("id", f"i{chance.randrange(40)}-{number}")
            if chance.random() < 0.02:
                its["name"] = "not a name"
        return inner


def affected(operation):
    """The names that an operation affects."""
    if operation["do"] in ("BatchWrite", "ImportProfiles"):
        return [name for inner in operation["operations"] for name in affected(inner)]
    parts = ("device", "person", "who", "loser", "survivor")
    return [operation[part] for part in parts if operation.get(part, "nobody") != "nobody"]
