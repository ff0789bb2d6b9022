"""Recordings of the system calls that change files: `strace` writes them, and this module reads and replays them.

A call is recorded with the moments at which it began and returned. Between the two its effect may or may not be there;
a sync covers what had returned when it began.
"""

import dataclasses
import math
import os
import pathlib
import re

from crash_disk import Disk

# The calls by which a server may change what is below its data directory, and those which say what a descriptor is.
# Others, such as `write`, would slow it down; a recording that misses a change of theirs is found (`Recording.add`).
CALLS = (
    "openat,open,creat,close,dup,dup2,dup3,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fdatasync,fsync,"
    "sync_file_range,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat,rmdir,copy_file_range"
)
# Later than any event.
END = math.inf
# Of a write that is recorded completely; a frame is at most 16 MiB.
STRING_BYTES_MAX = 16 << 20

_LINE = re.compile(r"^(\d+) +(\d+)\.(\d+) (.*)$", re.S)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.S)
_UNFINISHED = re.compile(r"^(\w+)\((.*) <unfinished \.\.\.>$", re.S)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)
_FOLDERS = re.compile(r"(?:^|, )(?:\d+|AT_FDCWD)<([^>]*)>")
_DESCRIPTOR = re.compile(r"^(\d+|AT_FDCWD)(?:<([^>]*)>)?")


def wrapper(trace):
    """The command that starts a server with its calls recorded."""
    return (
        "strace",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-ttt",
        "-y",
        "-xx",
        "-s",
        str(STRING_BYTES_MAX),
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(trace),
    )


@dataclasses.dataclass(slots=True)
class Call:
    """One system call, as strace prints it."""

    name: str
    arguments: str
    # None: the process ended before it returned.
    result: int | None = None

    @property
    def descriptor(self):
        """(number, path) of the first argument; the path is None if strace does not know one."""
        number, path = _DESCRIPTOR.match(self.arguments).groups()
        return (None if number == "AT_FDCWD" else int(number)), path and unescape(path)

    @property
    def strings(self):
        # Every byte of a string is in hexadecimal, quotes as well.
        parts = self.arguments.split('"')
        assert not any(part.startswith("...") for part in parts[2::2]), f"{self.name} is recorded in part only"
        return [bytes.fromhex(text.replace("\\x", "")) for text in parts[1::2]]

    @property
    def numbers(self):
        """The arguments behind the last string or descriptor, as far as they are numbers."""
        rest = self.arguments[self.arguments.rfind('"') + 1 :] if '"' in self.arguments else self.arguments
        return [int(part) for part in re.findall(r"(?<![\w<])\d+(?![\w>])", rest)]


def unescape(path):
    return bytes.fromhex(path.replace("\\x", "")).decode() if "\\x" in path else path


def parse(lines):
    """The beginnings and the returns of calls, as (microseconds since 1970, call, is its beginning), in the order in
    which they happened. Calls that failed are left out.

    A call on one line began and returned with nothing of another thread in between. One that strace lost before it let
    it begin, because the process was killed, did nothing: such lines end in "<detached ...>", or have no name.
    """
    marks, running = [], {}
    for line in lines:
        matched = _LINE.match(line.rstrip("\n"))
        assert matched, f"not understood: {line[:200]}"
        thread, seconds, micros, text = matched.groups()
        moment = int(seconds) * 1_000_000 + int(micros)
        if text.startswith("???(") or (text.endswith("<detached ...>") and not text.startswith("<... ")):
            continue
        # Lines are up to 4 MiB long, over which patterns that do not match are slow.
        if text.endswith("<unfinished ...>"):
            unfinished = _UNFINISHED.match(text)
            running[thread] = Call(unfinished[1], unfinished[2])
            marks.append((moment, running[thread], True))
            continue
        if text.startswith("<... "):
            resumed = _RESUMED.match(text)
            call = running.pop(thread, None)
            # It never returned, or had no name.
            if text.endswith("<detached ...>") or call is None:
                continue
            text = f"{call.name}({call.arguments}{resumed[2]}"
        else:
            call = None
        whole = _CALL.match(text)
        if not whole:
            assert text.startswith(("+++", "---")), f"not understood: {text[:200]}"
            continue
        if call is None:
            call = Call(whole[1], whole[2])
            marks.append((moment, call, True))
        if whole[3] != "?":
            call.result = int(whole[3])
            marks.append((moment, call, False))
    return [mark for mark in marks if mark[1].result is None or mark[1].result >= 0]


@dataclasses.dataclass(slots=True)
class Event:
    """What the beginning or the return of a call does to a disk."""

    moment: int
    name: str
    # Of (disk, index of the event).
    run: object
    # Whether the call never returned, so that it may not have happened.
    is_unfinished: bool = False


class Recording:
    """Calls of one or more lives of a server on one directory, as events in the order of time."""

    def __init__(self, directory):
        self.directory = os.path.realpath(directory)
        self.events = []
        # How many calls changed or synced something.
        self.calls = 0
        self.lives = 0

    def add(self, lines):
        """Adds the trace of one life, and proves that it is complete: replayed, it gives the files that are there."""
        found = files_below(self.directory)
        life = Life(self.directory)
        events = [Event(0, "exec", life.begin)]
        effects, calls = {}, 0
        for moment, call, is_beginning in parse(lines):
            if is_beginning:
                effects[id(call)] = life.of(call)
            run = effects[id(call)][0 if is_beginning else 1]
            if run:
                calls += is_beginning and call.name not in ("openat", "close")
                events.append(Event(moment, call.name, run, call.result is None))
        events[0].moment = events[1].moment if len(events) > 1 else 0
        before = self.events
        # What was running when the process was killed may not have happened.
        for rest in (events, [event for event in events if not event.is_unfinished]):
            self.events = before + rest
            if self.final_files() == found:
                self.lives += 1
                self.calls += calls
                return
        raise AssertionError(f"the recording misses changes: {self.difference(found)}")

    def final_files(self):
        for _, disk in self.replay():
            pass
        return disk.files

    def difference(self, found):
        replayed = self.final_files()
        return sorted(path for path in replayed.keys() | found.keys() if replayed.get(path) != found.get(path))

    def replay(self, ignoring=()):
        """Yields (moment until which the state lasts, disk) before each event and after the last.

        `ignoring` names calls without effect, such as a sync that a sabotaged server does not make.
        """
        disk = Disk()
        for index, event in enumerate(self.events):
            yield event.moment, disk
            if event.name not in ignoring:
                event.run(disk, index)
        yield END, disk


def files_below(directory):
    found = pathlib.Path(directory).rglob("*")
    return {str(path.relative_to(directory)): path.read_bytes() for path in found if path.is_file()}


class Life:
    """Turns the calls of one process into what they do to a disk. Descriptors are those of this process alone."""

    def __init__(self, directory):
        self.directory = directory
        # The files behind descriptors, by number; filled while events run.
        self.inodes = {}

    def begin(self, disk, index):
        self.inodes.clear()
        # What a kill interrupted has ended by now.
        disk.complete_calls(index)

    def relative(self, path):
        """The path below the directory; None if it is elsewhere."""
        path = os.path.normpath(path)
        if path == self.directory:
            return ""
        return path[len(self.directory) + 1 :] if path.startswith(self.directory + "/") else None

    def path_of(self, call, index=0):
        """What the string number `index` of a call names, relative to the descriptor before it."""
        name = call.strings[index].decode()
        if name.startswith("/"):
            return self.relative(name)
        folders = _FOLDERS.findall(call.arguments)
        assert index < len(folders), f"{call.name} names no folder"
        return self.relative(os.path.join(unescape(folders[index]), name))

    def of(self, call):
        """(effect of its beginning, effect of its return); None for what concerns no file of the directory."""
        method = getattr(self, "on_" + call.name, None)
        if method:
            return method(call)
        # Any other call must not concern this directory.
        paths = [call.descriptor[1]] if _DESCRIPTOR.match(call.arguments) else []
        paths += [text.decode(errors="replace") for text in call.strings if text.startswith(b"/")]
        for path in paths:
            assert self.relative(path or "/") is None, f"{call.name} of {path} is not replayed"
        return None, None

    def _changing(self, make):
        """A change that may be there from its beginning on, and is complete with its return."""
        made = []

        def begin(disk, _):
            made[:] = make(disk)

        def end(_, index):
            for change in made:
                change.done = index

        return begin, end

    def on_openat(self, call):
        path = self.path_of(call)
        if path is None or call.result is None:
            return None, None
        number, made = call.result, []
        assert "O_TRUNC" not in call.arguments, f"O_TRUNC of {path} is not replayed"

        def begin(disk, _):
            creates = "O_CREAT" in call.arguments and path not in disk.entries
            made[:] = disk.create(path)[1] if creates else []

        def end(disk, index):
            for change in made:
                change.done = index
            self.inodes[number] = disk.entries.get(path)

        return begin, end

    def on_close(self, call):
        number = call.descriptor[0]
        return lambda *_: self.inodes.pop(number, None), None

    def on_pwrite64(self, call):
        number, path = call.descriptor
        if self.relative(path) is None:
            return None, None
        data, offset = call.strings[0], call.numbers[-1]
        if call.result is not None:
            data = data[: call.result]
        return self._changing(lambda disk: self.inodes[number].write(data, offset))

    def on_ftruncate(self, call):
        number, path = call.descriptor
        if self.relative(path) is None:
            return None, None
        size = call.numbers[-1]
        return self._changing(lambda disk: self.inodes[number].truncate(size))

    def on_fdatasync(self, call):
        number, path = call.descriptor
        relative = self.relative(path)
        if relative is None or call.result is None:
            return None, None
        began, synced = 0, None

        def begin(_, index):
            nonlocal began, synced
            began, synced = index, self.inodes.get(number)

        def end(disk, _):
            if synced is not None:
                synced.sync(began)
            else:
                disk.sync_directory(relative, began)

        return begin, end

    on_fsync = on_fdatasync

    def on_renameat(self, call):
        source, target = self.path_of(call, 0), self.path_of(call, 1)
        if source is None and target is None:
            return None, None
        return self._changing(lambda disk: disk.rename(source, target))

    on_rename = on_renameat2 = on_renameat

    def on_unlinkat(self, call):
        path = self.path_of(call)
        return (None, None) if path is None else self._changing(lambda disk: disk.unlink(path))

    on_unlink = on_unlinkat

    def on_mkdirat(self, call):
        path = self.path_of(call)
        return (lambda disk, _: disk.directories.add(path), None) if path else (None, None)

    on_mkdir = on_mkdirat
