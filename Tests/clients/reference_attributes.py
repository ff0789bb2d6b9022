"""The rules of attribute conflicts, as simple as possible: part of the reference model.

Every write carries a stamp, (effective time in microseconds, lsn), and the greater one wins; losing names are reported.
Lists follow the rule per element. Attributes are values that are replaced, never changed in place, so that a rejected
call has no effect.
"""

from dataclasses import dataclass, field, replace

NATIVE = ("email_address", "phone_number", "language", "region", "timezone")
CUSTOM_MAX = 50
ELEMENTS_MAX = 25
DELETED_MAX = 50
REMOVED_MAX = 100
# Older than every stamp: the stamp of a list that was never set as a whole.
NEVER = (float("-inf"), 0)


class Rejected(Exception):
    """A call or an operation that changes nothing."""

    def __init__(self, code, reason, index=None, **metadata):
        super().__init__(code, reason, index, metadata)
        self.code, self.reason, self.index, self.metadata = code, reason, index, metadata


@dataclass(frozen=True)
class Attribute:
    # The stamp of a scalar's write, of a list's last `set`, or of the delete.
    base: tuple = NEVER
    scalar: object = None  # a `Value`, or the text of a native attribute
    elements: dict = None  # text -> stamp, in insertion order; None: not a list
    removed: dict = field(default_factory=dict)  # text -> stamp
    source: object = None

    @property
    def is_deleted(self):
        return self.scalar is None and self.elements is None

    @property
    def is_removes_alone(self):
        """Elements were removed from a list that was never there: no value, but the removes are remembered."""
        return self.is_deleted and self.base == NEVER

    @property
    def shown(self):
        return self.scalar if self.elements is None else list(self.elements)

    @property
    def written(self):
        """When the value was written or deleted; removes from what is deleted do not renew it."""
        return self.base if self.is_deleted else self.newest

    @property
    def newest(self):
        return max([self.base, *(self.elements or {}).values(), *self.removed.values()])


def set_scalar(old, value, stamp, source):
    if stamp <= max([old.base, *(old.elements or {}).values()]):
        return old, True
    return Attribute(stamp, value, source=source), False


def set_list(old, texts, stamp, source):
    if stamp <= old.base:
        return old, True
    before = old.elements or {}
    removed = {text: at for text, at in old.removed.items() if at > stamp}
    elements = {text: max(stamp, before.get(text, NEVER)) for text in texts if text not in removed}
    elements |= {text: at for text, at in before.items() if at > stamp and text not in texts}
    if len(elements) > ELEMENTS_MAX:
        raise Rejected("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    return Attribute(stamp, None, elements, removed, source), any(text in removed for text in texts)


def delete(old, stamp, source):
    if stamp <= old.base:
        return old, True
    elements = {text: at for text, at in (old.elements or {}).items() if at > stamp}
    removed = {text: at for text, at in old.removed.items() if at > stamp}
    return Attribute(stamp, None, elements or None, removed, source), False


def add(old, texts, stamp, source):
    if old.scalar is not None:
        raise Rejected("FAILED_PRECONDITION", "ATTRIBUTE_TYPE_MISMATCH")
    if stamp <= old.base:
        return old, True
    elements, removed, is_stale = dict(old.elements or {}), dict(old.removed), False
    for text in dict.fromkeys(texts):
        if stamp <= max(elements.get(text, NEVER), removed.get(text, NEVER)):
            is_stale = True
            continue
        removed.pop(text, None)
        elements[text] = stamp  # An existing element keeps its position.
    if len(elements) > ELEMENTS_MAX:
        raise Rejected("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    return replace(old, elements=elements, removed=removed, source=source), is_stale


def remove(old, texts, stamp, source):
    if old.scalar is not None:
        raise Rejected("FAILED_PRECONDITION", "ATTRIBUTE_TYPE_MISMATCH")
    if stamp <= old.base:
        return old, True
    elements, removed, is_stale = dict(old.elements or {}), dict(old.removed), False
    for text in dict.fromkeys(texts):
        if stamp <= max(elements.get(text, NEVER), removed.get(text, NEVER)):
            is_stale = True
            continue
        elements.pop(text, None)
        removed[text] = stamp
    while len(removed) > REMOVED_MAX:
        del removed[min(removed, key=removed.get)]
    return replace(
        old, elements=elements if old.elements is not None else None, removed=removed, source=source
    ), is_stale


def items_of(patch):
    """The items of a patch as (name, how it changes an attribute), in name order."""
    items = [
        (name.lower(), set_list, list(value.list.items))
        if value.WhichOneof("kind") == "list"
        else (name.lower(), set_scalar, value)
        for name, value in patch.set.items()
    ]
    items += [(name.lower(), delete, None) for name in patch.delete]
    items += [(name.lower(), add, list(texts.items)) for name, texts in patch.add.items()]
    items += [(name.lower(), remove, list(texts.items)) for name, texts in patch.remove.items()]
    items += [(name, set_scalar, getattr(patch.native, name).value) for name in NATIVE if patch.native.HasField(name)]
    return sorted(items, key=lambda item: item[0])


def custom_count(attributes):
    return sum(1 for name, attribute in attributes.items() if name not in NATIVE and not attribute.is_deleted)


def forget_oldest_deleted(attributes):
    deleted = sorted(
        (name for name in attributes if attributes[name].is_deleted), key=lambda name: attributes[name].newest
    )
    for name in deleted[: max(0, len(deleted) - DELETED_MAX)]:
        del attributes[name]


def apply_patch(attributes, patch, stamp, source, is_identified):
    """Applies a patch; returns the new attributes by name, the stale names, and whether the change is visible to
    readers."""
    attributes, stale, is_visible = dict(attributes), [], False
    for name, change, value in items_of(patch):
        if name in ("email_address", "phone_number") and change is set_scalar and not is_identified:
            raise Rejected("FAILED_PRECONDITION", "PROFILE_ANONYMOUS")
        old = attributes.get(name, Attribute())
        new, is_stale = change(old, stamp, source) if change is delete else change(old, value, stamp, source)
        if is_stale:
            stale.append(name)
        if new is not old:
            attributes[name] = new
        is_visible |= new.shown != old.shown
    if custom_count(attributes) > CUSTOM_MAX:
        raise Rejected("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    forget_oldest_deleted(attributes)
    return attributes, stale, is_visible


def unite(mine, other, latest_wins):
    """The union of two lists, the survivor's first, and whether it overflowed."""
    elements, removed, is_over = dict(mine.elements), dict(mine.removed), False
    for text, at in other.elements.items():
        if text in elements:
            elements[text] = max(elements[text], at)
        elif text not in removed or (latest_wins and at > removed[text]):
            removed.pop(text, None)
            if len(elements) < ELEMENTS_MAX:
                elements[text] = at
            else:
                is_over = True
    for text, at in other.removed.items():
        if text in removed or (text in elements and not (latest_wins and at > elements[text])):
            continue
        elements.pop(text, None)
        removed[text] = at
    is_others = mine.base == NEVER or (latest_wins and other.base > mine.base)
    return replace(mine, base=other.base if is_others else mine.base, elements=elements, removed=removed), is_over


def remember_removes(kept, removes):
    """The entry of one side with the removes of the other, which has no list; they take nothing out of it."""
    if kept.scalar is not None:
        return kept
    removed = dict(kept.removed)
    for text, at in removes.removed.items():
        if text not in (kept.elements or {}):
            removed[text] = max(at, removed.get(text, NEVER))
    while len(removed) > REMOVED_MAX:
        del removed[min(removed, key=removed.get)]
    return replace(kept, removed=removed)


def merge(survivor, loser, latest_wins=False):
    """The attributes of the survivor of a merge, and warnings as (reason, name)."""
    attributes, warnings = dict(survivor), []
    for name in sorted(loser):
        mine, other = attributes.get(name), loser[name]
        if mine is None or mine.is_removes_alone:
            if not other.is_deleted and name not in NATIVE and custom_count(attributes) >= CUSTOM_MAX:
                warnings.append(("ATTRIBUTE_LIMIT", name))
            else:
                attributes[name] = remember_removes(other, mine) if mine else other
        elif other.is_removes_alone:
            attributes[name] = remember_removes(mine, other)
        elif mine.elements is not None and other.elements is not None:
            attributes[name], is_over = unite(mine, other, latest_wins)
            if is_over:
                warnings.append(("LIST_OVERFLOW", name))
        elif latest_wins and other.written > mine.written:
            adds = mine.is_deleted and not other.is_deleted and name not in NATIVE
            if adds and custom_count(attributes) >= CUSTOM_MAX:
                warnings.append(("ATTRIBUTE_LIMIT", name))
            else:
                attributes[name] = other
    forget_oldest_deleted(attributes)
    return attributes, warnings
