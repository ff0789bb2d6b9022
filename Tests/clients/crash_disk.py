"""What a power cut may leave of a recorded run: every legal state of the files, at any moment (F2, F3).

Content is durable per sector of 512 bytes: until a sync, a sector holds what it held at the last one, any version that
was written since, or, torn, the beginning of one version before the end of an older one. A file's size is chosen in the
same way. Creations, renames and removals are durable with the next sync of their directory; until then each may or may
not have happened. A sync makes durable what was complete when it began.
"""

import dataclasses
import enum
import itertools
import os
import pathlib

SECTOR_BYTES = 512
# One of so many sectors that were not synced is torn.
TORN_ONE_IN = 8


class Survival(enum.Enum):
    """What a power cut leaves of what was not synced."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    MIXED = "mixed"


@dataclasses.dataclass(slots=True, eq=False)
class Change:
    """One change that is not durable yet: a version of a sector, a size, or an entry of a directory."""

    # Index of the event with which the call that made it had returned; None while it runs.
    done: int | None = None
    sector: int | None = None
    bytes: bytes = b""
    size: int | None = None


class Inode:
    """A file: what programs see of it, and what is on stable storage."""

    _serials = itertools.count()

    def __init__(self):
        self.serial = next(self._serials)
        self.content, self.durable = bytearray(), bytearray()
        self.sectors, self.sizes = {}, []
        # Grows with each change of what a power cut may leave, so that files can be cached.
        self.generation = 0

    @property
    def is_settled(self):
        return not self.sectors and not self.sizes

    def write(self, data, offset):
        """Writes; returns the changes that it made."""
        end = offset + len(data)
        made = []
        if end > len(self.content):
            self.content.extend(bytes(end - len(self.content)))
            made.append(Change(size=end))
        self.content[offset:end] = data
        return self._note(made, offset, end)

    def truncate(self, size):
        before = len(self.content)
        if size == before:
            return []
        if size < before:
            del self.content[size:]
        else:
            self.content.extend(bytes(size - before))
        return self._note([Change(size=size)], min(size, before), max(size, before))

    def _note(self, made, start, end):
        self.generation += 1
        for change in made:
            self.sizes.append(change)
        for sector in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            found = bytes(self.content[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES])
            change = Change(sector=sector, bytes=found.ljust(SECTOR_BYTES, b"\0"))
            self.sectors.setdefault(sector, []).append(change)
            made.append(change)
        return made

    def sync(self, began):
        """Makes durable what was complete before the event `began`."""
        self.generation += 1
        size = len(self.durable)
        for sector, versions in list(self.sectors.items()):
            settled = [change for change in versions if _is_before(change, began)]
            if settled:
                place(self.durable, sector, settled[-1].bytes)
                self.sectors[sector] = versions[len(settled) :]
            if not self.sectors[sector]:
                del self.sectors[sector]
        settled = [change for change in self.sizes if _is_before(change, began)]
        if settled:
            size = settled[-1].size
            self.sizes = self.sizes[len(settled) :]
        fit(self.durable, size)

    def after_power_cut(self, survival, chance):
        """The content that a power cut leaves."""
        if self.is_settled or survival is Survival.NOTHING:
            return bytes(self.durable)
        if survival is Survival.EVERYTHING:
            return bytes(self.content)
        sizes = [len(self.durable), *(change.size for change in self.sizes)]
        size = chance.choice(sizes)
        result = bytearray(self.durable)
        fit(result, max(size, len(result)))
        for sector, versions in self.sectors.items():
            choice = chance.randrange(len(versions) + 1)
            if choice:
                found = versions[choice - 1].bytes
                if chance.randrange(TORN_ONE_IN) == 0:
                    # Everything behind the tear is as it was: an older version, or what was durable.
                    kept = chance.randrange(1, SECTOR_BYTES)
                    found = found[:kept] + self._older(sector, chance.randrange(choice))[kept:]
                place(result, sector, found)
        fit(result, size)
        return bytes(result)

    def _older(self, sector, choice):
        if choice:
            return self.sectors[sector][choice - 1].bytes
        start = sector * SECTOR_BYTES
        return bytes(self.durable[start : start + SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")


def _is_before(change, began):
    return change.done is not None and change.done < began


def place(content, sector, data):
    """Puts a whole sector into content, which may become longer than the file by that."""
    start = sector * SECTOR_BYTES
    if len(content) < start + len(data):
        fit(content, start + len(data))
    content[start : start + len(data)] = data


def fit(content, size):
    if len(content) > size:
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


class Disk:
    """The files below one directory. Paths are relative to it; directories among them are durable as soon as made."""

    def __init__(self):
        self.entries, self.durable_entries = {}, {}
        # (change, directory, function that applies it to a table of entries)
        self.pending = []
        self.directories = set()

    def create(self, path):
        inode = Inode()
        return inode, self._entry(path, lambda entries: entries.__setitem__(path, inode))

    def rename(self, source, target):
        inode = self.entries[source]

        def apply(entries):
            entries.pop(source, None)
            entries[target] = inode

        return self._entry(target, apply)

    def unlink(self, path):
        return self._entry(path, lambda entries: entries.pop(path, None))

    def _entry(self, path, apply):
        apply(self.entries)
        change = Change()
        self.pending.append((change, os.path.dirname(path), apply))
        return [change]

    def sync_directory(self, directory, began):
        rest = []
        for change, of, apply in self.pending:
            if of == directory and _is_before(change, began):
                apply(self.durable_entries)
            else:
                rest.append((change, of, apply))
        self.pending = rest

    def complete_calls(self, index):
        """Marks what is still running as complete."""
        running = [change for change, _, _ in self.pending]
        for inode in self.entries.values():
            running += [*inode.sizes, *itertools.chain(*inode.sectors.values())]
        for change in running:
            change.done = index if change.done is None else change.done

    @property
    def files(self):
        """What programs see: {path: content}."""
        return {path: bytes(inode.content) for path, inode in self.entries.items()}

    @property
    def is_settled(self):
        """Whether a power cut has no choice."""
        return not self.pending and all(inode.is_settled for inode in self.entries.values())

    def after_power_cut(self, chance, survival=None):
        """One legal state: {path: (key, content)}, where equal keys mean equal content.

        Nothing and everything are likely enough to be met in every run.
        """
        if survival is None:
            survival = {0: Survival.NOTHING, 1: Survival.EVERYTHING}.get(chance.randrange(8), Survival.MIXED)
        entries = dict(self.durable_entries)
        for _, _, apply in self.pending:
            if survival is Survival.EVERYTHING or survival is Survival.MIXED and chance.random() < 0.5:
                apply(entries)
        result = {}
        for path, inode in sorted(entries.items()):
            if inode.is_settled:
                result[path] = ((inode.serial, inode.generation), bytes(inode.durable))
            else:
                content = inode.after_power_cut(survival, chance)
                result[path] = (content, content)
        return result


def write_state(state, directories, folder):
    """Writes a state as a data directory with the modes that the server gives to it."""
    folder = pathlib.Path(folder)
    folder.mkdir(mode=0o700)
    for directory in sorted(directories):
        (folder / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, (_, content) in state.items():
        descriptor = os.open(folder / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(descriptor, len(content))
            # Segments are zeros for the most part.
            used = len(bytes(content).rstrip(b"\0"))
            os.pwrite(descriptor, memoryview(content)[:used], 0)
        finally:
            os.close(descriptor)
