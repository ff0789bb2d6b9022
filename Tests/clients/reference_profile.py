"""The state of one profile in the reference model, and its form in GetProfile."""

from dataclasses import dataclass, field, replace

import reference_attributes as attributes_of
from conftest import types_pb2 as types

SECOND = 1_000_000
MOVES_MAX = 32


APP_OR_WEB = (types.PLATFORM_APP_IOS, types.PLATFORM_APP_ANDROID, types.PLATFORM_WEB)


def platform_of(named, known=types.PLATFORM_UNSPECIFIED):
    """The platform of a device after a call of its own: the last app or web platform that it named."""
    return named if named in APP_OR_WEB else known


@dataclass(frozen=True)
class Device:
    platform: int
    attached: int
    seen: int
    # Holders are named by whose identifiers led the device to them, who may have been merged away by then.
    first: str = ""  # the first holder
    moves: tuple = ()  # (effective time, holder)
    part: str = ""  # the profile to whose identifiers it belongs, which may be merged away
    since: int = 0  # the lsn of the operation that brought it to its holder, merges aside

    @property
    def last_move(self):
        return self.moves[-1][0] if self.moves else float("-inf")

    def moved(self, time, holder, former, attached=None):
        moves, first = self.moves + ((time, holder),), self.first or former
        if len(moves) > MOVES_MAX:
            first, moves = moves[0][1], moves[1:]
        return replace(self, first=first, moves=moves, attached=attached or self.attached)

    def holder_at(self, time):
        return next((holder for at, holder in reversed(self.moves) if at <= time), self.first)


@dataclass
class Profile:
    id: str
    created: int
    lsn: int
    custom_id: str = ""
    revision: int = 1
    updated: int = 0
    seen: int = 0
    devices: dict = field(default_factory=dict)
    attributes: dict = field(default_factory=dict)
    events: list = field(default_factory=list)  # ((effective time, lsn), event), ascending
    counters: dict = field(default_factory=dict)  # name -> (count, first, last)
    consents: dict = field(default_factory=dict)  # (channel, topic) -> Consent
    ledger: list = field(default_factory=list)
    head: bytes = bytes(32)
    merged_ledgers: list = field(default_factory=list)
    aliases: list = field(default_factory=list)
    custom_aliases: list = field(default_factory=list)
    merged_devices: list = field(default_factory=list)  # of profiles that were merged into it, as of the merge
    truncated: int = 0

    def copy(self):
        return replace(
            self, **{name: value.copy() for name, value in vars(self).items() if isinstance(value, (dict, list))}
        )

    def raise_revision(self, learned):
        self.revision += 1
        self.updated, self.lsn = learned.received, learned.lsn


def same_message(one, other, normal=lambda message: None):
    """Whether two requests are equal but for the times at which they were sent, which a retry stamps anew, and what
    `normal` takes out."""
    copies = [type(message).FromString(message.SerializeToString()) for message in (one, other)]
    for message in copies:
        normal(message)
        parts = getattr(message, "operations", [])
        for part in [message, *(getattr(item, item.WhichOneof("operation")) for item in parts)]:
            if "sent_at" in part.DESCRIPTOR.fields_by_name:
                part.ClearField("sent_at")
    return copies[0] == copies[1]


def micros(stamp):
    return stamp.seconds * SECOND + stamp.nanos // 1000


def timestamp(time, target):
    target.seconds, target.nanos = time // SECOND, time % SECOND * 1000


def show(profile):
    """The profile as GetProfile returns it; lists without a defined order are sorted."""
    shown = types.Profile(
        profile_id=profile.id,
        custom_id=profile.custom_id,
        revision=profile.revision,
        lsn=profile.lsn,
        state=types.STATE_IDENTIFIED if profile.custom_id else types.STATE_ANONYMOUS,
    )
    for name in sorted(profile.devices):
        device = profile.devices[name]
        item = shown.installations.add(installation_id=name, platform=device.platform)
        timestamp(device.attached, item.attached_at)
        timestamp(device.seen, item.last_seen_at)
    for name, attribute in profile.attributes.items():
        if attribute.is_deleted:
            continue
        if name in attributes_of.NATIVE:
            getattr(shown.native, name).value = attribute.scalar
        elif attribute.elements is not None:
            shown.attributes[name].list.SetInParent()
            shown.attributes[name].list.items.extend(attribute.elements)
        else:
            shown.attributes[name].CopyFrom(attribute.scalar)
    for channel, topic in sorted(profile.consents):
        consent = profile.consents[channel, topic]
        item = shown.subscriptions.items.add(channel=channel, topic=topic, state=consent.state, source=consent.source)
        timestamp(consent.time, item.effective_time)
    for name in sorted(profile.counters):
        count, first, last = profile.counters[name]
        item = shown.event_counters.add(name=name, count=count)
        timestamp(first, item.first)
        timestamp(last, item.last)
    timestamp(profile.created, shown.created_at)
    timestamp(profile.updated, shown.updated_at)
    timestamp(profile.seen, shown.last_seen_at)
    for alias in sorted(profile.aliases):
        shown.aliases.add(profile_id=alias)
    for alias in sorted(profile.custom_aliases):
        shown.aliases.add(custom_id=alias)
    if profile.truncated:
        timestamp(profile.truncated, shown.events_truncated_before)
    return shown
