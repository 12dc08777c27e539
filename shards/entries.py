# The entries of the log's folder: all that are listed; and, on FAT, that those to come will be
# Loaded for a start and for a new shard, then forgotten. docs/FORMAT.md says what a cut can leave.
import os

from micropython import const

_PROBE = "~" * 240 + "-00000.tmp"  # takes 21 entries: more than are made until the next start
_ENOENT = const(2)
_EINVAL = const(22)
_EIO = const(5)
_FILE = const(0x8000)  # in what `stat` says


def entries(path):
    """Return (name, bytes) of everything in a folder that has a readable name."""
    before = 0
    while True:
        out, torn = _listed(path)
        if torn == before:
            return out
        before = torn  # the same again, or it was but this look that failed


def secure(shards, at_start=False):
    """Make sure that the next files made in the folder will be listed; raises OSError.

    That may take another folder, to which all files are moved. With several batteries only a start
    does so: later each of them has a file open.
    """
    try:
        spoilt = _is_spoilt(shards)
    except OSError:
        if not at_start:
            raise
        spoilt = False  # of a full volume nobody knows: it is asked again before a file is made
    if spoilt:
        if shards.names and not at_start:
            raise OSError(_EIO)  # the next start will
        _give_up(shards)


def move(shards):
    """Bring the files of folders that were given up into the log's; raises OSError.

    A start does so first of all. What is not a file with a plausible name stays where it is, in
    a folder that nothing touches any more: entries of old bytes may claim clusters of true files.
    """
    given_up = shards.path + "-old"
    n = _unused(given_up)
    while n > 1:
        n -= 1  # the youngest first: a cut can leave a file in two
        shards.make_folder()
        for name, _ in entries(given_up + str(n)):
            there = given_up + str(n) + "/" + name
            here = shards.path + "/" + name
            if _is_plausible(name) and _mode(there) == _FILE and not _mode(here):
                if _is_spoilt(shards):
                    return _give_up(shards)
                os.rename(there, here)
        bad = shards.path + "-bad"
        os.rename(given_up + str(n), bad + str(_unused(bad)))


def _give_up(shards):
    print("store: a power cut spoilt the folder %s: the log moves to a new one" % shards.path)
    given_up = shards.path + "-old"
    os.rename(shards.path, given_up + str(_unused(given_up)))
    move(shards)


def _is_spoilt(shards):
    """Will files be made where no listing comes, and nothing helps? If something does, do it.

    FAT links a new cluster to a folder and then clears it. A power cut in between leaves old bytes
    there, and in them what ends a listing: zeros where an entry begins, or a name that begins with
    one. What is entered behind that is lost at the next start. So a probe goes first. While it is
    not listed, small files take the gaps before it: deleted, they are zeros no more. If one of them
    is not listed either, there was no gap.
    """
    if not _is_fat(shards.path):
        return False
    made = [_PROBE]
    spoilt = False
    try:
        _make_empty(shards, _PROBE)
        while not spoilt and not _lists(shards, _PROBE):
            made.append("~-%05d.tmp" % len(made))  # 8.3, so it goes into any gap
            _make_empty(shards, made[-1])
            spoilt = not _lists(shards, made[-1])
    finally:
        for name in made:
            try:
                os.remove(shards.path + "/" + name)
            except OSError:
                pass  # it was not made, or is not found: the next start looks again
    return spoilt


def _listed(path):
    """Return those of `entries`, and how many there are whose names cannot be read."""
    listing = os.ilistdir(path)
    out = []
    torn = 0
    while True:
        try:
            entry = next(listing)
        except StopIteration:
            return out, torn
        except UnicodeError:
            torn += 1  # FAT: a name torn by a power cut
            continue
        out.append((entry[0], entry[3] if len(entry) > 3 else 0))


def _lists(shards, name):
    return name in [entry[0] for entry in entries(shards.path)]


def _is_fat(path):
    try:
        os.stat(path + "/?")
    except OSError as exc:
        return exc.errno == _EINVAL  # no other file system minds such a name
    return False


def _is_plausible(name):
    return len(name) > 2 and all(" " < c < "\x7f" and c not in '"*/:<>?\\|' for c in name)


def _unused(stem):
    n = 1
    while _mode(stem + str(n)):
        n += 1
    return n


def _mode(path):
    """Return what kind of thing that is, 0: there is none. Old bytes may list what is none."""
    try:
        return os.stat(path)[0]
    except OSError as exc:
        if exc.errno != _ENOENT:
            raise
        return 0


def _make_empty(shards, name):
    open(shards.path + "/" + name, "w").close()
