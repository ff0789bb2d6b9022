"""The model of a disk behind F2 and F3: which states it allows, and which it does not; and the reader of recordings."""

import random

import crash_recording
from crash_disk import SECTOR_BYTES, Disk, Survival
from crash_recording import Recording, parse

SAMPLES = 300


class Written:
    """A disk whose calls begin and return one after another."""

    def __init__(self):
        self.disk, self.index = Disk(), 0

    def done(self, changes):
        self.index += 1
        for change in changes:
            change.done = self.index

    def create(self, path):
        inode, changes = self.disk.create(path)
        self.done(changes)
        return inode

    def sync(self, inode):
        self.index += 1
        inode.sync(self.index)

    def sync_directory(self, directory=""):
        self.index += 1
        self.disk.sync_directory(directory, self.index)

    def states(self):
        """All states that a few hundred samples give, each as {path: content}."""
        chance = random.Random(3)
        states = [self.disk.after_power_cut(chance) for _ in range(SAMPLES)]
        return [{path: bytes(content) for path, (_, content) in state.items()} for state in states]


def test_F3_a_file_without_synced_name_may_be_gone():
    written = Written()
    inode = written.create("a")
    written.done(inode.write(b"abc", 0))
    written.sync(inode)
    assert {tuple(state.items()) for state in written.states()} == {(), (("a", b"abc"),)}
    written.sync_directory()
    assert {tuple(state.items()) for state in written.states()} == {(("a", b"abc"),)}
    assert written.disk.is_settled


def test_F3_a_rename_is_atomic_and_durable_with_its_directory():
    written = Written()
    inode = written.create("a.tmp")
    written.done(inode.write(b"abc", 0))
    written.sync(inode)
    written.sync_directory()
    written.done(written.disk.rename("a.tmp", "a"))
    assert {tuple(state) for state in written.states()} == {("a.tmp",), ("a",)}
    written.sync_directory("elsewhere")
    assert {tuple(state) for state in written.states()} == {("a.tmp",), ("a",)}
    written.sync_directory()
    assert {tuple(state) for state in written.states()} == {("a",)}
    written.done(written.disk.unlink("a"))
    assert {tuple(state) for state in written.states()} == {("a",), ()}


def test_F3_each_sector_is_kept_dropped_or_torn_by_itself():
    written = Written()
    inode = written.create("a")
    written.done(inode.write(b"o" * 2 * SECTOR_BYTES, 0))
    written.sync(inode)
    written.sync_directory()
    written.done(inode.write(b"n" * 2 * SECTOR_BYTES, 0))
    kinds = set()
    for state in written.states():
        sectors = [state["a"][:SECTOR_BYTES], state["a"][SECTOR_BYTES:]]
        for sector in sectors:
            # A torn sector has the new bytes first.
            assert sector.lstrip(b"n").strip(b"o") == b""
        kinds.add(tuple("torn" if len(set(sector)) == 2 else chr(sector[0]) for sector in sectors))
    assert {("o", "o"), ("o", "n"), ("n", "o"), ("n", "n")} < kinds and any("torn" in kind for kind in kinds)


def test_F3_a_sync_covers_what_had_returned_when_it_began_and_nothing_else():
    written = Written()
    inode = written.create("a")
    written.sync_directory()
    written.done(inode.write(b"1", 0))
    began = written.index + 1
    # Returns while the sync runs.
    running = inode.write(b"2", SECTOR_BYTES)
    written.index += 2
    written.done(running)
    inode.sync(began)
    contents = {state["a"] for state in written.states()}
    assert b"1" in contents and all(content.startswith(b"1") for content in contents)
    assert b"1".ljust(SECTOR_BYTES, b"\0") + b"2" in contents


def test_F3_a_size_is_chosen_by_itself():
    written = Written()
    inode = written.create("a")
    written.done(inode.write(b"x" * 600, 0))
    written.sync(inode)
    written.sync_directory()
    written.done(inode.truncate(100))
    assert {len(state["a"]) for state in written.states()} == {100, 600}
    written.done(inode.truncate(600))
    assert {len(state["a"]) for state in written.states()} == {100, 600}
    written.sync(inode)
    assert {state["a"] for state in written.states()} == {b"x" * 100 + bytes(500)}
    assert bytes(inode.content) == b"x" * 100 + bytes(500)


def test_F3_extremes_are_what_was_synced_and_what_programs_see():
    written = Written()
    inode = written.create("a")
    written.done(inode.write(b"abc", 0))
    nothing = written.disk.after_power_cut(random.Random(1), Survival.NOTHING)
    everything = written.disk.after_power_cut(random.Random(1), Survival.EVERYTHING)
    assert nothing == {} and bytes(everything["a"][1]) == b"abc"
    assert written.disk.files == {"a": b"abc"}


def hexadecimal(text):
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def trace(folder):
    """Two threads: one writes `a.tmp` and renames it, the other is in a sync of it meanwhile."""
    name = hexadecimal(str(folder))
    return [
        f'7  10.000001 openat(AT_FDCWD<{hexadecimal("/")}>, "{name}", O_RDONLY|O_DIRECTORY) = 3<{name}>',
        f'7  10.000002 openat(3<{name}>, "{hexadecimal("a.tmp")}", O_RDWR|O_CREAT|O_EXCL, 0600)'
        f" = 4<{name}{hexadecimal('/a.tmp')}>",
        f'7  10.000003 openat(3<{name}>, "{hexadecimal("b")}", O_RDONLY) = -1 ENOENT (No such file or directory)',
        f'7  10.000004 pwrite64(4<{name}{hexadecimal("/a.tmp")}>, "{hexadecimal("abc")}", 3, 0) = 3',
        f"8  10.000005 fdatasync(4<{name}{hexadecimal('/a.tmp')}> <unfinished ...>",
        f'7  10.000006 pwrite64(4<{name}{hexadecimal("/a.tmp")}>, "{hexadecimal("xyz")}", 3, 600) = 2',
        "8  10.000907 <... fdatasync resumed>) = 0",
        f'7  10.000908 renameat(3<{name}>, "{hexadecimal("a.tmp")}", 3<{name}>, "{hexadecimal("a")}") = 0',
        f"7  10.000909 fsync(3<{name}>) = 0",
        f'7  10.000910 pwrite64(4<{name}{hexadecimal("/a")}>, "{hexadecimal("zz")}", 2, 0 <unfinished ...>',
        "8  10.000911 +++ killed by SIGKILL +++",
    ]


def test_F3_a_recording_is_replayed_in_the_order_of_its_lines(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" + bytes(597) + b"xy")
    recording = Recording(tmp_path)
    recording.add(trace(tmp_path))
    disks = [disk.after_power_cut(random.Random(1), Survival.NOTHING) for _, disk in recording.replay()]
    # Durable: the name with the sync of its directory, the content as far as it was written when its sync began.
    assert disks[-1].keys() == {"a"} and bytes(disks[-1]["a"][1]) == b"abc"
    assert {tuple(state) for state in disks} == {(), ("a",)}
    moments = [moment for moment, _ in recording.replay()]
    assert moments == sorted(moments) and moments[1] == 10_000_001 and moments[-1] == crash_recording.END


def test_F3_a_call_that_a_kill_interrupted_may_have_happened_or_not(tmp_path):
    for content in (b"abc", b"zzc"):
        (tmp_path / "a").write_bytes(content + bytes(597) + b"xy")
        recording = Recording(tmp_path)
        recording.add(trace(tmp_path))
        assert recording.final_files() == {"a": content + bytes(597) + b"xy"}


def test_F3_calls_that_strace_lost_before_they_began_did_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" + bytes(597) + b"xy")
    path = hexadecimal(str(tmp_path / "a"))
    lost = [
        "9  10.000910 ???( <unfinished ...>",
        "10  10.000910 ???( <detached ...>",
        "9  10.000911 <... ??? resumed>) = ?",
        f'11  10.000911 pwrite64(4<{path}>, "{hexadecimal("!!")}", 2, 0 <detached ...>',
        f"12  10.000911 fdatasync(4<{path}> <unfinished ...>",
        "12  10.000912 <... fdatasync resumed> <detached ...>",
    ]
    recording = Recording(tmp_path)
    recording.add(trace(tmp_path)[:-1] + lost)
    assert recording.final_files() == {"a": b"abc" + bytes(597) + b"xy"}


def test_F3_a_recording_that_misses_a_change_is_found(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" + bytes(597) + b"x!")
    try:
        Recording(tmp_path).add(trace(tmp_path))
    except AssertionError as error:
        assert "the recording misses changes: ['a']" in str(error)
    else:
        raise AssertionError("accepted")


def test_F3_failed_calls_are_left_out(tmp_path):
    names = [call.name for _, call, is_beginning in parse(trace(tmp_path)) if is_beginning]
    assert names == ["openat", "openat", "pwrite64", "fdatasync", "pwrite64", "renameat", "fsync", "pwrite64"]
