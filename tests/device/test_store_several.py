# The logs of several batteries in one folder: each is as good as alone, whatever resets the board
import os
import random

from flash import PowerCut
from shardlog import DATA, SEED, Clock, Rtc, StoredEncoder, Volume, data_frame, frames_of
from shards import codec, frame, packing, recovery, room, several
from shards.folder import Shards
from store import Store

_NAMES = ("jk-pak01", "house", "van")
_LONG = os.getenv("CAMPAIGN")


class _Folder:
    """An empty volume for as long as the context lasts."""

    def __enter__(self):
        self._volume = Volume("lfs2", 1 << 19)
        return self._volume

    def __exit__(self, *_):
        self._volume.remove()


class _Life:
    """A board with a battery for each of `names`, that logs and is reset."""

    def __init__(self, names=_NAMES):
        self.rtc = Rtc(parts=len(names))
        self.clock = Clock(1_780_272_000)
        self.names = names
        self.next = 0
        self.expected = {name: [] for name in names}
        self.doubtful = []  # (name, number) of what was under way when a reset came
        self.boots = []

    def start(self, late=()):
        """Open all logs; those of `late` places are not known yet."""
        self.common = several.Common(self.rtc, len(self.names))
        for place in range(len(self.names)):
            if place not in late:
                self.common.name(place, self.names[place], None)
        self.stores = [None] * len(self.names)
        for place in range(len(self.names)):
            if place not in late:
                self.open(place)

    def open(self, place):
        name = self.common.name(place, self.names[place], None)
        self.stores[place] = Store(DATA, name, self.clock, self.common.part(place))
        self.common.join(self.stores[place])
        self.stores[place].open()
        self.boots.append(self.stores[place].boot)

    def append(self, place):
        self.clock.now_s += random.getrandbits(6)
        name = self.names[place]
        self.next += 1
        self.doubtful.append((name, self.next))
        self.stores[place].append(data_frame(self.next))
        self.expected[name].append(self.next)
        self.doubtful.pop()
        self.stores[place].tick()

    def check(self):
        for name in self.names:
            got = _numbers(name)
            there = [number for whose, number in self.doubtful if whose == name and number in got]
            want = sorted(self.expected[name] + there)
            assert got == want, (SEED, name, got[-5:], want[-5:], len(got), len(want))


def _files(name=None):
    """Return [(number, file)] of the shards, of one log or of all."""
    out = []
    for entry in os.ilistdir(DATA):
        stem, _, kind = entry[0].rpartition(".")
        whose, _, number = stem.rpartition("-")
        if kind in ("raw", "bts") and name in (None, whose):
            out.append((int(number), entry[0]))
    return sorted(out)


def _numbers(name):
    """Return the numbers of the data frames in the log of `name`, in order."""
    out = []
    for _, file in _files(frame.shard_name(name)):
        with open(DATA + "/" + file, "rb") as f:
            for one in frames_of(file, f.read()):
                if frame.kind(one, 0) == 0:
                    out.append(int.from_bytes(one[8:12], "little"))
    return out


def test_each_log_keeps_all_through_resets():
    encoder, codec.Encoder = codec.Encoder, StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    try:
        for _ in range(60 if _LONG else 6):
            count = 2 + random.getrandbits(8) % 4
            life = _Life(["one name", "other"] + ["n%d" % i for i in range(count - 2)])
            with _Folder() as volume:
                for _ in range(12):
                    late = (random.getrandbits(8) % count,) if random.getrandbits(1) else ()
                    life.start(late)
                    for store in life.stores:
                        if store:
                            store.limit = min(store.limit, 3000 + random.getrandbits(11))
                    if random.getrandbits(1):
                        life.rtc.cut_in = 1 + random.getrandbits(9)
                    try:
                        for _ in range(random.getrandbits(8)):
                            place = random.getrandbits(8) % count
                            if life.stores[place]:
                                life.append(place)
                            elif not random.getrandbits(4):
                                life.open(place)
                    except PowerCut:
                        pass
                    life.rtc.cut_in = 0
                    volume.replug()  # a reset: what was not flushed is in RTC memory
                life.start()
                for store in life.stores:
                    assert store.flush() and not store.dropped
                life.check()
                numbers = [number for number, _ in _files()]
                assert len(numbers) == len(set(numbers)), numbers
    finally:
        codec.Encoder = encoder


class _Cut(_Life):
    """A board whose power goes at any moment, and whose list of batteries may be another then."""

    _POOL = ("a", "b", "A", "c d", "c_d", "house", "van")

    def __init__(self, volume):
        super().__init__(self._POOL[-2:])
        self._volume = volume
        self.flushed = {}  # by log: the numbers that are on flash for sure
        self.waiting = {}

    def live(self):
        """Log, flush and pack until the power goes, or a while; then all is flushed."""
        self.start()
        shares = [1 + random.getrandbits(6) for _ in self.stores]
        for _ in range(random.getrandbits(9)):
            place = random.getrandbits(16) % sum(shares)
            store = self.stores[[i for i in range(len(shares)) if place < sum(shares[: i + 1])][0]]
            self.clock.now_s += 1 + random.getrandbits(5)
            self.next += 1
            self.waiting.setdefault(store.name, []).append(self.next)
            store.append(data_frame(self.next))
            if not random.getrandbits(6):
                store.flush()
            if store.packing_due and not random.getrandbits(2):
                return self._pack(store)
            for one in self.stores:
                one.tick()
                self._settle(one)
        for store in self.stores:
            store.flush()
            self._settle(store)

    def _settle(self, store):
        if self._volume.flash.cut_in == 0:
            raise PowerCut  # the file system told an error of its own
        if store.waiting.n == 0 or store.waiting.n == 1 and frame.kind(store.waiting.buffer, 0):
            self.flushed.setdefault(store.name, []).extend(self.waiting.pop(store.name, []))

    def _pack(self, store):
        for one in self.stores:
            one.flush()
            self._settle(one)
        shards = Shards(DATA, self.clock)
        shards.name, shards.names, shards.limit = store.name, list(store.names), store.limit
        recovery.recover(shards, recovery.Found())
        packing.pack(shards, int)

    def check_all(self):
        """Each log has what was flushed, but for its oldest shards, and nothing twice."""
        for name in self.flushed:
            got = _numbers(name)
            there = set(got)
            assert got == sorted(there), (SEED, name)
            first = got[0] if got else 1 << 30
            missing = [n for n in self.flushed[name] if n >= first and n not in there]
            assert not missing, (SEED, name, missing)
            assert got or len(self.flushed[name]) < 2000, (SEED, name)
            late = [n for n in self.waiting.pop(name, []) if n in there]
            assert there <= set(self.flushed[name] + late), (SEED, name)
            self.flushed[name] = got


def _cut_again_and_again(kind, lives):
    volume = Volume(kind, 160 * 1024)
    life = _Cut(volume)
    for _ in range(lives):
        try:
            volume.flash.cut_in = None
            life.start()
            for store in life.stores:
                assert store.flush()
            life.check_all()
            if random.getrandbits(2):
                volume.flash.cut_in = 1 + random.getrandbits(8)
            life.live()
            volume.replug()
            if not random.getrandbits(1):
                count = 2 + random.getrandbits(1)
                first = random.getrandbits(8) % (len(life._POOL) - count)
                life.names = life._POOL[first : first + count]
                life.rtc = Rtc(life.rtc.data, parts=count)
        except (PowerCut, OSError):
            volume.replug()
            life.rtc.data = b""
    volume.remove()


def test_power_cuts_and_other_lists_of_batteries_cost_no_log_what_is_on_flash():
    encoder, codec.Encoder = codec.Encoder, StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    try:
        for kind in ("lfs2", "fat"):
            for _ in range(20 if _LONG else 1):
                _cut_again_and_again(kind, 40 if _LONG else 20)
    finally:
        codec.Encoder = encoder


def test_the_batteries_of_a_start_have_one_boot_and_a_reset_ends_no_shard():
    with _Folder():
        life = _Life()
        for boot in range(1, 6):
            life.start(late=() if boot > 1 else (1,))
            life.append(0)
            if boot == 1:
                life.open(1)
            for place in range(3):
                life.append(place)
                life.stores[place].flush()
            assert [store.boot for store in life.stores] == [boot] * 3
        life.check()
        assert [number for number, _ in _files()] == [1, 2, 3]
        assert not life.stores[0].unsealed and not life.stores[0].packing_due


def test_the_battery_with_most_bytes_gives_first():
    encoder, codec.Encoder = codec.Encoder, StoredEncoder
    try:
        with _Folder():
            life = _Life()
            life.start()
            for store in life.stores:
                store.limit = 8000
            for place in [0] * 5 + [1] + [2] * 2:  # who writes how much
                for _ in range(620):
                    life.append(place)
            shards = Shards(DATA, life.clock)
            shards.name, shards.names = "jk_pak01", list(life.common.names)
            shards.limit = life.stores[0].limit
            recovery.recover(shards, recovery.Found())
            active = {"%s-%05d" % (s.name, s.waiting.shard) for s in life.stores}
            assert not [s for s in shards.unsealed if "%s-%05d" % (s[1], s[0]) in active]
            packing.pack(shards, int)
            gone = []
            before = [file for _, file in _files() if file.endswith("bts")]
            while room.delete_oldest(shards):
                now = [file for _, file in _files() if file.endswith("bts")]
                gone += [file for file in before if file not in now]
                before = now
            of = [file[: file.rfind("-")] for file in gone]
            # until all have as much, then in turns
            many = of.count("jk_pak01")
            assert many > of.count("van") > of.count("house") >= 1
            assert set(of[: many - of.count("van")]) == {"jk_pak01"}, of
            for name in set(of):
                mine = [file for file in gone if file.startswith(name)]
                assert mine == sorted(mine), mine  # the oldest first
            assert {file[:-4] for _, file in _files()} <= active
    finally:
        codec.Encoder = encoder


def test_what_one_deletes_the_others_do_not_count_on():
    with _Folder():
        life = _Life()
        life.start()
        for store in life.stores:
            store.limit = 2200
        for i in range(900):
            life.append(i % 3)
        first, second, third = life.stores
        n = len(first.unsealed)
        assert n > 3 and first.unsealed is second.unsealed is third.unsealed
        assert room.delete_oldest(second) and len(first.unsealed) == n - 1


def test_a_log_is_as_old_as_its_own_oldest_frame():
    with _Folder():
        life = _Life()
        life.start(late=(1, 2))
        life.stores[0].limit = 2200
        for _ in range(200):
            life.append(0)
        assert life.stores[0].unsealed
        life.clock.now_s += 5 * 86400
        life.open(1)
        life.append(1)
        assert life.stores[1].flush()
        for _ in range(2):
            for store in life.stores[:2]:
                store._count_days(life.clock.now_s)
            days = [store.days_stored for store in life.stores[:2]]
            assert days == [5, 0], days
            life.start(late=(2,))  # after a restart too


def test_a_second_battery_of_a_name_gets_the_end_of_its_address():
    common = several.Common(Rtc(), 4)
    assert common.name(0, "JBD-SP25S020", None) == "JBD_SP25S020"
    assert common.name(1, "JBD-SP25S020", "A4:C1:37:12:3f:56") == "JBD_SP25S020_3f56"
    assert common.name(1, "JBD-SP25S020", "A4:C1:37:12:3f:56") == "JBD_SP25S020_3f56"
    assert common.name(0, "JBD-SP25S020", "A4:C1:37:12:34:00") == "JBD_SP25S020"
    assert common.name(2, "x" * 30, None) == "x" * 24
    assert common.name(3, "x" * 30, "A4:C1:37:12:3f:56") == "x" * 19 + "_3f56"
    assert len(set(common.names)) == 4
