"""The change feed of the reference model: which changes an operation makes, derived from the base before it and behind
it, and which of them a Watch shows."""

from dataclasses import dataclass, field

from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_attributes import NATIVE
from reference_profile import timestamp

# The order of the contract in which the changes of one lsn come.
ORDER = [
    rpc.CHANGE_KIND_PROFILE_CREATED,
    rpc.CHANGE_KIND_PROFILE_IDENTIFIED,
    rpc.CHANGE_KIND_PROFILES_MERGED,
    rpc.CHANGE_KIND_PROFILES_UNMERGED,
    rpc.CHANGE_KIND_INSTALLATION_MOVED,
    rpc.CHANGE_KIND_ATTRIBUTES_CHANGED,
    rpc.CHANGE_KIND_EVENT_STORED,
    rpc.CHANGE_KIND_SUBSCRIPTION_CHANGED,
    rpc.CHANGE_KIND_SUPPRESSION_CHANGED,
    rpc.CHANGE_KIND_PROFILE_ERASED,
]


def position(response):
    """Where a change stands in the feed."""
    return response.lsn, ORDER.index(response.change.kind)


def place(response):
    """The same; changes of one lsn and kind, whose order the contract leaves open, by what they name."""
    change = response.change
    return *position(response), change.installation_id, change.profile_id


@dataclass(frozen=True)
class Paths:
    """Whom identifiers lead to."""

    customs: dict
    devices: dict
    aliases: dict

    def holder(self, identifier):
        kind = identifier.WhichOneof("id")
        text = getattr(identifier, kind)
        if kind == "profile_id":
            return text
        return (self.customs if kind == "custom_id" else self.devices).get(text)

    def lead(self, identifier):
        text = self.holder(identifier)
        while text in self.aliases:
            text = self.aliases[text]
        return text


@dataclass
class Made:
    """A change as Watch shows it, and whom identifiers led to before and behind its operation."""

    response: rpc.WatchResponse
    before: Paths
    after: Paths
    is_unmerge: bool = False
    other: str = ""  # who had the custom ID of a PROFILE_IDENTIFIED, which is not shown


@dataclass
class Base:
    """What changes are derived from: the base as it was before an operation."""

    profiles: dict
    paths: Paths
    suppressed: dict = field(default_factory=dict)


def base_of(model):
    return Base(
        {key: profile.copy() for key, profile in model.profiles.items()},
        Paths(dict(model.customs), dict(model.devices), dict(model.aliases)),
        {key: set(reasons) for key, reasons in model.suppressed.items()},
    )


def shown_attributes(profile):
    return {name: attribute for name, attribute in profile.attributes.items() if not attribute.is_deleted}


def fill(target, name, attribute):
    """Sets an attribute in an AttributesChange."""
    if name in NATIVE:
        getattr(target.native, name).value = attribute.scalar
    elif attribute.elements is not None:
        target.set[name].list.SetInParent()
        target.set[name].list.items.extend(attribute.elements)
    else:
        target.set[name].CopyFrom(attribute.scalar)


class Derivation:
    """The changes of one operation."""

    def __init__(self, model, before, request, learned):
        self.model, self.before, self.request, self.learned = model, before, request, learned
        self.made, self.others = [], {}
        # What an un-merge gave back.
        self.restored = [name for name in model.profiles if name in before.paths.aliases]

    def note(self, kind, profile, lsn=None):
        response = rpc.WatchResponse(lsn=lsn or self.learned.lsn)
        change = response.change
        change.kind, change.profile_id, change.custom_id = kind, profile.id, profile.custom_id
        change.revision = profile.revision
        timestamp(self.learned.received, change.received_at)
        source = getattr(self.request, "source", None)
        if isinstance(source, types.Source) and source.ListFields():
            change.source.CopyFrom(source)
        change.historical = getattr(self.request, "historical", False) or self.model.imports
        self.made.append(response)
        return change

    def derive(self):
        model, before = self.model, self.before.profiles
        for profile in model.profiles.values():
            if profile.id not in before and profile.id not in self.restored:
                self.created(profile)
        for profile in model.profiles.values():
            self.identified(profile)
        self.moves()
        for profile in model.profiles.values():
            if profile.id in before or profile.id in self.restored:
                self.attributes(profile, before.get(profile.id))
        for holder, event in model.stored:
            change = self.note(rpc.CHANGE_KIND_EVENT_STORED, model.survivor(holder), event.lsn)
            change.event.CopyFrom(event)
        for profile in model.profiles.values():
            self.entries(profile, before.get(profile.id))
        self.suppressions()
        for profile in before.values():
            if profile.id not in model.profiles and profile.id not in model.aliases:
                change = self.note(rpc.CHANGE_KIND_PROFILE_ERASED, profile)
                # It names only the profile id.
                change.custom_id, change.revision = "", 0
        return sorted(self.made, key=position)

    def identified(self, profile):
        """A custom ID that is new, or that a merge or its undoing took from another profile."""
        had = self.before.paths.customs.get(profile.custom_id)
        if profile.id in self.restored:
            # As an alias the custom ID never left it.
            if profile.custom_id and had != profile.id:
                self.note(rpc.CHANGE_KIND_PROFILE_IDENTIFIED, profile)
                self.others[profile.id] = self.before.paths.lead(types.Identifier(profile_id=profile.id))
            return
        before = self.before.profiles.get(profile.id)
        if before and profile.custom_id not in ("", before.custom_id):
            self.note(rpc.CHANGE_KIND_PROFILE_IDENTIFIED, profile)
            self.others[profile.id] = had or ""

    def created(self, profile):
        count = max(1, len(getattr(self.request, "events", ())) + len(getattr(self.request, "changes", ())))
        change = self.note(rpc.CHANGE_KIND_PROFILE_CREATED, profile, self.learned.lsn - count + 1)
        for name in profile.devices:
            change.installation_id = name
        for name, attribute in shown_attributes(profile).items():
            fill(change.attributes, name, attribute)

    def moves(self):
        model, devices = self.model, self.before.paths.devices
        for restored in self.restored:
            survivor = model.profiles[self.before.paths.lead(types.Identifier(profile_id=restored))]
            self.note(rpc.CHANGE_KIND_PROFILES_UNMERGED, survivor).other_profile_id = restored
        for loser in sorted(set(model.aliases) - set(self.before.paths.aliases)):
            survivor = model.profiles[model.aliases[loser]]
            self.note(rpc.CHANGE_KIND_PROFILES_MERGED, survivor).other_profile_id = loser
            # Also those that leave the survivor at once because it is full.
            for name in self.before.profiles[loser].devices:
                self.moved(survivor, name, loser)
        for name, holder in model.devices.items():
            former, profile = devices.get(name), model.profiles[holder]
            is_new = former is None and holder not in self.before.profiles
            if former != holder and not is_new and former not in model.aliases:
                self.moved(profile, name, former)

    def moved(self, profile, installation, former):
        change = self.note(rpc.CHANGE_KIND_INSTALLATION_MOVED, profile)
        change.installation_id, change.other_profile_id = installation, former or ""

    def attributes(self, profile, before):
        mine, old = shown_attributes(profile), shown_attributes(before) if before else {}
        put = [name for name in mine if name not in old or mine[name].shown != old[name].shown]
        deleted = sorted(set(old) - set(mine))
        if not put and not deleted:
            return
        change = self.note(rpc.CHANGE_KIND_ATTRIBUTES_CHANGED, profile)
        change.attributes.deleted.extend(deleted)
        for name in put:
            fill(change.attributes, name, mine[name])

    def entries(self, profile, before):
        if before and before.revision == profile.revision:
            return
        by_lsn = {}
        known = len(before.ledger) if before else 0
        for entry in profile.ledger[known:]:
            # What is restored has a ledger of before.
            if entry.applied and (entry.lsn == self.learned.lsn or profile.id not in self.restored):
                by_lsn.setdefault(entry.lsn, []).append(entry)
        for lsn, entries in by_lsn.items():
            self.note(rpc.CHANGE_KIND_SUBSCRIPTION_CHANGED, profile, lsn).consent_entries.extend(entries)

    def suppressions(self):
        for (channel, address), reasons in self.model.suppressed.items():
            if reasons == self.before.suppressed.get((channel, address), set()):
                continue
            for profile in self.model.profiles.values():
                attribute = profile.attributes.get({1: "email_address", 2: "phone_number"}[channel])
                if not attribute or not attribute.scalar or attribute.scalar.lower() != address:
                    continue
                change = self.note(rpc.CHANGE_KIND_SUPPRESSION_CHANGED, profile)
                change.channel = channel
                change.suppression_reasons.extend(sorted(reasons))


def passes(change, request):
    """Whether a change passes all filters of a WatchRequest but the identifiers."""
    if request.kinds and change.kind not in request.kinds:
        return False
    if change.historical and not request.include_historical:
        return False
    if not (request.event_names or request.attributes or request.channels):
        return True
    names = {*change.attributes.set, *change.attributes.deleted}
    names |= {native.name for native, _ in change.attributes.native.ListFields()}
    channels = {entry.channel for entry in change.consent_entries} | {change.channel}
    return (
        change.event.name in [name.lower() for name in request.event_names]
        or bool(names & {name.lower() for name in request.attributes})
        or bool(channels & set(request.channels))
    )


def visible(model, request):
    """What a Watch shows now, as (response, whether it must be shown).

    A watcher that begins behind it cannot know whom the custom and installation ids of an erased person led to, nor
    that an installation left a full profile: what passes only because of those may be shown.
    """
    found, began = [], {}
    for made in model.changes:
        change = made.response.change
        if made.response.lsn < request.from_lsn:
            continue
        concerned = {change.profile_id, change.other_profile_id} - {""}
        must = may = not request.identifiers
        for identifier in request.identifiers:
            kind = identifier.WhichOneof("id")
            key = kind, getattr(identifier, kind)
            leaders = {leader for paths in (made.before, made.after) if (leader := paths.lead(identifier))}
            earlier = began.setdefault(key, set())
            is_known = kind == "profile_id" or not (leaders & concerned <= model.gone or key[1] in model.detached)
            # The names of an erased person are gone, also for the time that it was merged into another one.
            pairs = [(paths.holder(identifier), paths.lead(identifier)) for paths in (made.before, made.after)]
            holders = {holder for holder, leader in pairs if holder != leader}
            is_known &= kind == "profile_id" or not holders & model.gone
            # What leads to a restored profile led to the survivor before.
            is_known &= not (made.is_unmerge and made.after.lead(identifier) not in concerned)
            must |= bool(leaders & concerned) and is_known
            may |= bool(leaders & {*concerned, made.other}) or (not leaders and bool(earlier & concerned))
            earlier |= leaders
        if change.profile_id in model.gone and change.kind != rpc.CHANGE_KIND_PROFILE_ERASED:
            continue
        if may and passes(change, request):
            found.append((made.response, must))
    return found
