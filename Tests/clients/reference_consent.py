"""The rules of consent, as simple as possible: part of the reference model."""

import hashlib
from dataclasses import dataclass, replace

from reference_attributes import Rejected
from conftest import types_pb2 as types

UNSET, PENDING, SUBSCRIBED, UNSUBSCRIBED = 1, 2, 3, 4
USER, ONE_CLICK, SMS_KEYWORD, PREFERENCE_CENTER, API, IMPORT, SUPPORT, SYSTEM = range(1, 9)
EMAIL, SMS, PUSH = 1, 2, 3
# Topics of a channel that are not UNSET; opt-outs and merges may pass it.
TOPICS_MAX = 25
# Topics of a channel whose state is remembered; beyond that the UNSET ones with the oldest times are dropped.
KEYS_MAX = 100
OPENS = {USER, SMS_KEYWORD, PREFERENCE_CENTER}
CLOSES = OPENS | {ONE_CLICK, SUPPORT}


@dataclass(frozen=True)
class Consent:
    """The stored consent for one (channel, topic)."""

    state: int = UNSET
    source: int = 0
    time: float = float("-inf")
    is_by_keyword: bool = False
    # A PENDING that stands for an UNSUBSCRIBED until it is confirmed.
    stands_for_opt_out: bool = False

    @property
    def is_persons_act(self):
        return self.source in (CLOSES if self.state == UNSUBSCRIBED else OPENS)

    @property
    def shown(self):
        return self.state, self.source, self.time


def beats_opt_out(consent, time):
    return consent.state == SUBSCRIBED and consent.time > time and consent.is_persons_act


def joined_opt_out(one, other):
    """Of two opt-outs of one key, where `other` arrived later: the later time, and the source of the newer one, but a
    person's instead of a machine's."""
    newer, older = (other, one) if other.time >= one.time else (one, other)
    source = newer.source if newer.is_persons_act or not older.is_persons_act else older.source
    return replace(newer, source=source, is_by_keyword=one.is_by_keyword or other.is_by_keyword)


def change_consent(stored, channel, state, source, time, has_reference):
    """The new consent after one change, or None if the change is not applied. Raises Rejected."""
    new = Consent(state, source, time, state == UNSUBSCRIBED and channel == SMS and source == SMS_KEYWORD)
    if state == UNSUBSCRIBED:
        if stored.state == UNSUBSCRIBED:
            return joined_opt_out(stored, new)
        return None if beats_opt_out(stored, time) else new
    if time < stored.time or (time == stored.time and stored.state == UNSUBSCRIBED):
        return None
    if stored.state == UNSUBSCRIBED or (state == UNSET and stored.stands_for_opt_out):
        may = source in OPENS or (state == SUBSCRIBED and source == SUPPORT and has_reference)
        if stored.is_by_keyword:
            may = source == SMS_KEYWORD
        if not may:
            raise Rejected("FAILED_PRECONDITION", "USER_UNSUBSCRIBED")
    if state == SUBSCRIBED and stored.state == SUBSCRIBED and stored.is_persons_act and source not in OPENS:
        return stored
    return new


def topic_count(consents, channel):
    return sum(1 for key, stored in consents.items() if key[0] == channel and key[1] and stored.state != UNSET)


def forget_oldest_unset(consents, channel):
    keys = [key for key in consents if key[0] == channel and key[1]]
    unset = sorted((consents[key].time, key[1]) for key in keys if consents[key].state == UNSET)
    for _, topic in unset[: max(0, len(keys) - KEYS_MAX)]:
        del consents[channel, topic]


def merge_consent(mine, other):
    """The consent after a merge: the survivor's or the loser's."""
    if mine.state == UNSUBSCRIBED and other.state == UNSUBSCRIBED:
        # A merge must not weaken a person's choice either; at equal times the survivor's counts as the newer one.
        return joined_opt_out(other, mine)
    for opt_out, opposite in ((mine, other), (other, mine)):
        if opt_out.state == UNSUBSCRIBED:
            return opposite if opposite.time > opt_out.time and opposite.is_persons_act else opt_out
    return other if other.time > mine.time else mine


def chain(entry, previous):
    """Appends an entry to a chain."""
    entry.ClearField("hash")
    entry.ClearField("previous_hash")
    digest = hashlib.sha256(previous + entry.SerializeToString(deterministic=True)).digest()
    entry.previous_hash, entry.hash = previous, digest
    return digest


def check_sendable(profile, suppressed, channel, topic, message_class, topics_by_default=True):
    """Whether the message may be sent, and the reason."""
    names = {EMAIL: "email_address", SMS: "phone_number"}
    if channel == PUSH:
        address = any(
            device.platform in (types.PLATFORM_APP_IOS, types.PLATFORM_APP_ANDROID, types.PLATFORM_WEB)
            for device in profile.devices.values()
        )
    else:
        attribute = profile.attributes.get(names[channel])
        address = attribute.scalar if attribute else None
    if not address:
        return False, types.SENDABLE_REASON_NO_ADDRESS
    reasons = suppressed.get((channel, address.lower()), set()) if channel != PUSH else set()
    for reason, response in (
        (types.SUPPRESSION_REASON_HARD_BOUNCE, types.SENDABLE_REASON_HARD_BOUNCE),
        (types.SUPPRESSION_REASON_INVALID, types.SENDABLE_REASON_INVALID),
        (types.SUPPRESSION_REASON_MANUAL, types.SENDABLE_REASON_MANUAL),
    ):
        if reason in reasons:
            return False, response
    if message_class == types.MESSAGE_CLASS_TRANSACTIONAL:
        return True, types.SENDABLE_REASON_OK
    if types.SUPPRESSION_REASON_COMPLAINT in reasons:
        return False, types.SENDABLE_REASON_COMPLAINT
    if profile.consents.get((channel, ""), Consent()).state != SUBSCRIBED:
        return False, types.SENDABLE_REASON_CHANNEL_NOT_SUBSCRIBED
    if topic:
        state = profile.consents.get((channel, topic.lower()), Consent()).state
        if state == UNSET:
            return topics_by_default, types.SENDABLE_REASON_TOPIC_DEFAULT
        if state != SUBSCRIBED:
            return False, types.SENDABLE_REASON_TOPIC_UNSUBSCRIBED
    return True, types.SENDABLE_REASON_OK
