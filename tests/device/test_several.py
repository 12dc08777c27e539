# Several batteries: what of a list is logged, under which names, and what is said of the rest
import asyncio
import builtins
import json
import os
import random
import sys

import air
import battery
import flash
import jbd
import jikong
import machine
import vclock
import vfs
from aiobmsble.bms import jikong_bms
from app import findall, known, setup
from app.app import App
from bleak_peer import fresh
from shardlog import data_frame
from shards import several, sums

_IMAGE = "/tmp/batmon-test-several-%s.img" % os.urandom(4).hex()  # of this process
_JK = {"bms": "jikong_bms", "dev_name": "jk-pak01", "capacity_ah": 280}
_JBD = {"bms": "jbd_bms", "dev_name": "JBD-SP25S020", "capacity_ah": 100}


class _Conn:
    dev_name = "not this"
    DESIGN_CAP = 50

    class BmsLink:
        pass


class _Board:
    """An App on an empty volume, on a board called `chip`."""

    def __init__(self, chip="ESP32S3"):
        machine.pretend("Generic %s module with %s" % (chip, chip), (1, 29, 0))

    def __enter__(self):
        self._flash = flash.Flash(_IMAGE, 1 << 19, 4096)
        vfs.VfsLfs2.mkfs(self._flash)
        vfs.mount(vfs.VfsLfs2(self._flash), "/data")
        machine.RTC().memory(b"")
        return self

    def __exit__(self, *_):
        self._flash.close()
        vfs.umount("/data")
        os.remove(_IMAGE)

    def start(self, batteries=None, conn=_Conn, more=()):
        """Return the App with that setting, and some more, configured."""
        app = App(conn)
        app.settings["lcd.fitted"] = False
        app.settings.update(more)
        app.settings["batteries"] = batteries
        app.settings.pop("phone", None)
        setup.configure(app)
        return app


def _names(app):
    return [battery.name for battery in app.batteries]


def test_each_has_its_link_and_its_log():
    with _Board() as board:
        secret = dict(_JBD)
        secret["secret"] = "1234"
        app = board.start([_JK, secret])
        assert _names(app) == ["jk-pak01", "JBD-SP25S020"] and not app.sentences
        logs = [battery.store.name for battery in app.batteries]
        assert logs == ["jk_pak01", "JBD_SP25S020"]
        links = [battery.link for battery in app.batteries]
        assert [link.name for link in links] == ["jk-pak01", "JBD-SP25S020"]
        assert [link.capacity_ah for link in links] == [280, 100]
        assert [link.driver.__module__[-6:] for link in links] == ["ng_bms", "bd_bms"]
        assert [link._config.secret for link in links] == ["", "1234"]
        assert links[0].peers == links and links[0].places is None
        assert len({battery.store.boot for battery in app.batteries}) == 1


def test_conn_py_may_have_the_list():
    class Conn(_Conn):
        BATTERIES = (("jikong_bms", "a"), ["jbd_bms", "b", 100])

    with _Board() as board:
        app = board.start(conn=Conn)
        assert _names(app) == ["a", "b"] and not app.sentences
        assert [battery.link.capacity_ah for battery in app.batteries] == [50, 100]
        app = board.start([_JBD], conn=Conn)  # the settings go first
        assert _names(app) == ["JBD-SP25S020"] and app.common is None  # it is one, as ever
        for wrong in ("a", (), ("jbd_bms", "a"), 5):
            Conn.BATTERIES = wrong or None
            app = board.start(conn=Conn)
            assert app.sentences[0].startswith("conn.py: BATTERIES must be like (("), wrong


def test_a_wrong_one_is_left_out_with_a_sentence_and_the_others_are_logged():
    with _Board() as board:
        text = "must be text in quotes, at most 64 characters"
        for wrong, sentence in (
            (5, "5 must be {...}"),
            ({}, "dev_name is missing"),
            ({"name": 1}, "unknown key name"),
            ({"capacity_ah": 0}, "capacity_ah is 0, must be a number from 1 to 10000"),
            ({"dev_name": 5}, "dev_name is 5, " + text),
            ({"bms": "jikonk"}, "there is no BMS driver jikonk, see docs/BMS.md for names"),
            ({"secret": 1234}, "secret is not right, " + text),
        ):
            if wrong and wrong != 5:
                wrong = dict({"dev_name": "a"}, **wrong)
            app = board.start([_JK, wrong, _JBD])
            assert _names(app) == ["jk-pak01", "JBD-SP25S020"]
            said = "settings.json: battery 2: %s; it is left out" % sentence
            assert app.sentences == [said], app.sentences
        app = board.start([{}, 5])
        assert app.sentences == ["settings.json: battery 1: dev_name is missing"]
        assert app.batteries[0].status.link == "mend it and restart"
        address = dict(_JBD, dev_name="a4:c1:37:12:34:56")
        app = board.start([address, address, _JK])
        assert _names(app) == ["a4:c1:37:12:34:56", "jk-pak01"]
        assert app.sentences[0].endswith("dev_name is that of another one; it is left out")


_ODD = [None, True, -1, 0, 1.5, 1e300, 10**30, float("nan"), [], {}, [[[]]], {"a": 1}]
_ODD += ["", " ", "a" * 65, "\x01", "\u4f5b", "..", "os", "jbd", "jk pak", "jk_pak", "JK_PAK"]
_ODD += ["a4:c1:37:12:34:56", "A4:C1:37:12:34:56", ":::::"]


def _odd_entry():
    """Return something in which somebody went wrong, or nobody did."""
    if not random.getrandbits(3):
        return random.choice(_ODD)
    entry = {"dev_name": "n%d" % random.getrandbits(2), "bms": "jbd_bms"}
    for key in ("bms", "dev_name", "capacity_ah", "secret", "called", "other"):
        if not random.getrandbits(2):
            entry[key] = random.choice(_ODD)
    return entry


def test_whatever_the_list_holds_each_has_a_log_of_its_own_or_a_sentence_says_why_not():
    class Conn(_Conn):
        BATTERIES = ()

    with _Board("SPIRAM with ESP32S3") as board:
        for i in range(100):
            given = [_odd_entry() for _ in range(1 + random.getrandbits(3))]
            if i % 2:
                Conn.BATTERIES = [
                    tuple(one.values()) if isinstance(one, dict) else one for one in given
                ]
            app = board.start(None if i % 2 else given, Conn)
            links = [battery.link for battery in app.batteries if battery.link]
            assert links or app.sentences, given
            assert len(links) == len(given) or app.sentences, (given, _names(app))
            logs = [battery.store.name.lower() for battery in app.batteries if battery.store]
            assert len(set(logs)) == len(logs), (given, logs)
            names = [battery.called.upper() for battery in app.batteries if battery.link]
            addresses = [name for name in names if name.count(":") == 5]
            assert len(set(addresses)) == len(addresses), given


def test_no_two_logs_have_one_name_on_any_volume():
    names = ("JBD", "jbd", "JBD_3456", "jbd_2", "j b", "j_b", "x" * 30, "x" * 24)
    for _ in range(200):
        common = several.Common(machine.RTC(), 8)
        for place in sorted(range(8), key=lambda _: random.getrandbits(8)):
            address = random.choice((None, "A4:C1:37:12:34:56", "A4:C1:37:99:34:56"))
            name = common.name(place, random.choice(names), address)
            assert common.names[place] == name and len(name) <= 24
        assert len({name.lower() for name in common.names}) == 8, common.names


def test_more_than_the_memory_is_enough_for_are_left_out():
    jk = [dict(_JK, dev_name=str(i)) for i in range(9)]
    for chip, display, given, fit, events in (
        ("ESP32", False, jk[:3], 3, True),
        ("ESP32", False, jk[:5], 4, False),
        ("ESP32", True, jk[:2], 2, False),
        ("ESP32", True, jk[:3], 2, False),
        ("ESP32", True, [_JK, _JBD], 1, True),
        ("ESP32C3", False, [_JK, _JBD], 2, True),
        ("ESP32C3", True, jk[:2] + [dict(_JBD, bms="not even looked for")], 2, False),
        ("ESP32S3", True, [_JK, _JBD], 2, True),
        ("ESP32S3", False, jk, 6, False),
        ("SPIRAM with ESP32S3", True, jk, 8, True),
    ):
        with _Board(chip) as board:
            app = board.start(given, more={"lcd.fitted": display, "ds3231": "off"})
            assert len(app.batteries) == fit, (chip, display, len(app.batteries))
            assert app.settings["events"] is events
            left = len(given) - fit
            said = []
            if left:
                said.append(_SHORT % (fit, left, len(given)))
            if not events:
                said.append(_PLAIN % fit)
            assert app.sentences == said, app.sentences


_SHORT = "this board's memory is enough for %d of the batteries, %d of %d are left out"
_PLAIN = 'this board\'s memory is enough for %d batteries without "events"; they are off'


def test_drivers_of_no_battery_leave_the_memory():
    class Conn(_Conn):
        BMS = __import__("aiobmsble.bms.daly_bms", None, None, ("BMS",)).BMS

    with _Board("ESP32") as board:
        given = [_JK, _JK, dict(_JBD, bms="ective_bms"), _JBD]
        app = board.start(given, Conn, {"lcd.fitted": True, "ds3231": "off"})
        assert len(app.batteries) == 2
        loaded = [name for name in sys.modules if name.startswith("aiobmsble.bms.")]
        assert loaded == ["aiobmsble.bms.jikong_bms"] and not Conn.BMS, loaded


def test_one_is_logged_where_the_memory_is_enough_for_none():
    with _Board("ESP32"):
        app = App(_Conn)
        app.settings.update({"batteries": [_JK, _JBD], "phone": "123456", "lcd.fitted": True})
        setup.configure(app)
        assert _names(app) == ["jk-pak01"] and app.common is None
        said = "this board's memory is enough for 1 of the batteries, 1 of 2 are left out"
        assert app.sentences == [said], app.sentences


def test_more_than_four_take_turns():
    with _Board("SPIRAM with ESP32S3") as board:
        app = board.start([dict(_JK, dev_name="n%d" % i) for i in range(6)])
        assert len(app.batteries) == 6 and not app.sentences
        places = {battery.link.places for battery in app.batteries}
        assert len(places) == 1 and None not in places
        # each is polled at least twice in four minutes: BTHome tells nothing of what is old
        assert app.settings["poll_s"] * 3 / 2 >= 120


def test_who_wants_rest_is_told_that_several_have_none():
    class Conn(_Conn):
        BATTERIES = (("jikong_bms", "a"), ("jbd_bms", "b", 100))

    rest = {"rest.minutes": 10, "rest.percent": 0.2, "rest.reserve": 10}
    with _Board() as board:
        for given, conn in (([_JK, _JBD], _Conn), (None, Conn)):
            app = board.start(given, conn, rest)
            assert app.rest_ma == 0
            assert [said for said in app.sentences if said.startswith("the board stays awake")]


class _WithoutSeveral:
    """app/several.py is not on the board."""

    def __enter__(self):
        self._import = builtins.__import__
        builtins.__import__ = self

    def __exit__(self, *_):
        builtins.__import__ = self._import

    def __call__(self, name, *more):
        if name == "app" and more[2:] and "several" in (more[2] or ()):
            raise ImportError("no module named 'app.several'")
        return self._import(name, *more)


def test_on_a_board_for_one_the_one_of_before_is_logged_and_the_remedy_is_said():
    class Conn(_Conn):
        BMS = jikong_bms.BMS
        dev_name = "jk-pak01"

        class BmsLink(_Conn.BmsLink):
            def __init__(self, driver, name, *_):
                self.name = name

    class Listed(Conn):
        BATTERIES = (("jbd_bms", "b", 100), ("jikong_bms", "jk-pak01", 280))

    class Wrong:
        BATTERIES = ()

    only = ": only one is logged until ./install.sh has brought what several need"
    for conn, batteries, where in (
        (Conn, [_JBD, _JK], "settings.json: batteries"),
        (Conn, "all", "settings.json: batteries"),
        (Listed, None, "conn.py: BATTERIES"),
        (Wrong, None, "conn.py: BATTERIES"),
    ):
        with _Board() as board, _WithoutSeveral():
            app = board.start(batteries, conn)
            assert where + only in app.sentences, app.sentences
            if conn is Wrong:  # whose three lines are missing, and that is said too
                assert app.sentences[0].startswith("conn.py: "), app.sentences
                assert len(app.sentences) == 2
                continue
            assert len(app.sentences) == 1 and _names(app) == ["jk-pak01"]
            (one,) = app.batteries
            assert one.link.name == "jk-pak01" and one.store.name == "jk_pak01"
            assert one.update() is not None and where + only in one.status.message


def test_two_of_one_name_are_told_apart_by_their_addresses():
    with _Board() as board:
        app = board.start([_JBD, _JBD])
        first, second = app.batteries
        assert second.store is None  # which one that is nobody knows yet
        second.link.address = "A4:C1:37:12:3F:56"
        second.link.called = "JBD-SP25S020"
        second.link.connected = True
        second.link_changed(second.link)
        assert first.name == "JBD-SP25S020"
        assert second.name == "JBD_SP25S020_3F56" == second.store.name
        app = board.start([_JBD, _JBD])
        assert _names(app) == ["JBD-SP25S020", "JBD_SP25S020_3F56"]
        assert [battery.link.address for battery in app.batteries] == [None, "A4:C1:37:12:3F:56"]


def test_who_had_a_log_goes_on_in_it_wherever_in_the_list_it_is():
    van = {"bms": "jikong_bms", "dev_name": "van"}
    ends = "1A", "2B"  # of two of one name
    first, second = ["A4:C1:37:12:34:" + end for end in ends]

    def found(app):
        """Let the links find the batteries that they look for, and the logs be named."""
        taken = [one.link.address or one.called.upper() for one in app.batteries]
        left = [address for address in (first, second) if address not in taken]
        for one in app.batteries:
            link = one.link
            if one.called == "JBD-SP25S020" and not link.address:
                link.address = left.pop(0)
            elif one.called.upper() in (first, second):
                link.address = one.called.upper()
            link.called = "JBD-SP25S020"
            link.connected = True
            link.text = "connected"
            one.link_changed(link)
        return {one.link.address: one.store.name for one in app.batteries}

    address = dict(_JBD, dev_name=first.lower())
    for before, after in (
        ([van, _JBD, _JBD], [_JBD, _JBD]),
        ([_JBD, _JBD, van], [van, _JBD, _JBD]),
        ([_JBD, van], [dict(_JBD, dev_name=second.lower()), address]),
        ([_JBD, van], [_JBD, address]),
        ([_JBD, van], [address]),
        ([van, _JBD, _JBD], [dict(_JBD, dev_name=second)]),
    ):
        with _Board() as board:
            logs = found(board.start(before))
            for _ in range(2):
                more = found(board.start(after))
                for one in more:
                    assert logs.get(one, more[one]) == more[one], (before, after, logs, more)
                assert len(set(more.values())) == len(more), more
                logs.update(more)

    class Conn(_Conn):
        BMS = None
        dev_name = first

    with _Board() as board:
        logs = found(board.start([_JBD, van]))
        (one,) = board.start(conn=Conn).batteries  # by the first lines of conn.py
        assert one.store.name == logs[first] == "JBD_SP25S020"
        Conn.dev_name = second
        assert board.start(conn=Conn).batteries[0].store.name.startswith("A4_C1")


def test_a_list_that_was_found_is_kept():
    with _Board() as board:
        app = board.start("all")
        assert app.sentences == ["looking for all BMSs in reach"] and app.batteries[0].link is None
        found = [
            {"bms": "jbd_bms", "dev_name": "A4:C1:37:12:34:5%d" % i, "called": "JBD"}
            for i in range(2)
        ]
        with open("/data/found.json", "w") as f:
            json.dump(found, f)
        app = board.start("all")
        assert _names(app) == ["JBD", "JBD_3451"] and not app.sentences
        assert [battery.link.name[-2:] for battery in app.batteries] == ["50", "51"]
        for damage in ("", "[", "{}", "5", "[5]", "[{}]", '["a"]'):
            with open("/data/found.json", "w") as f:
                f.write(damage)
            assert board.start("all").sentences == ["looking for all BMSs in reach"], damage


async def test_all_in_reach_are_found_over_the_air_and_logged_from_the_next_start():
    with _Board() as board:
        stranger = air.Peripheral("headphones", b"\xc8\x47\x80\x00\x00\x09", [])
        late = jbd.make(battery.make("house", 3))
        twin = jikong.make(battery.make("van", 2))
        twin.addr = twin.addr[:-1] + b"\x01"
        fresh(stranger, jikong.make(battery.make("van", 1)), twin)
        vclock.call_later(14_000, air.add, late)  # one that is not heard at first
        reset = None
        try:
            await findall.find()
        except machine.Reset as exc:
            reset = exc
        assert reset
        with open("/data/found.json") as f:
            found = json.load(f)
        assert [(one["bms"], one["called"]) for one in found] == [
            ("jbd_bms", "JBD-SP25S020"),
            ("jikong_bms", "jk-pak01"),
            ("jikong_bms", "jk-pak01"),
        ], found
        app = board.start("all")
        assert _names(app) == ["JBD_SP25S020", "jk_pak01", "jk_pak01_3456"] and not app.sentences
        fresh()


async def test_who_looks_again_goes_on_in_the_logs_that_are_there():
    for here, logs in (
        ((1, 2), {1: "jk_pak01_3401", 2: "jk_pak01"}),
        ((2, 3), {2: "jk_pak01", 3: "jk_pak01_3499"}),
        ((1, 3), {1: "jk_pak01_3401", 3: "jk_pak01_3499"}),
        ((3,), {3: "jk_pak01_3499"}),
    ):
        with _Board() as board:
            ends = {1: b"\x01", 2: b"\x56", 3: b"\x99"}
            packs = {}
            for i in ends:
                packs[i] = jikong.make(battery.make("van", i))
                packs[i].addr = packs[i].addr[:-1] + ends[i]
            known.write("/data", "jk-pak01", "C8:47:80:12:34:56", "jk-pak01", "jk_pak01")
            fresh(*[packs[i] for i in here])
            try:
                await findall.find()
            except machine.Reset:
                pass
            app = board.start("all")
            got = {one.called[-2:]: one.store.name for one in app.batteries}
            assert got == {ends[i].hex(): logs[i] for i in here}, (here, got)
            fresh()


def test_what_packing_told_this_boot_is_forgotten_when_all_logs_are_open():
    paused = {"name": "", "boot": 1, "uptime_s": 300, "gap_s": 20, "events": [], "watching": []}
    for given in ([_JK, _JBD], [_JBD, _JBD], [_JK]):
        with _Board() as board:
            board.start(given)  # boot 1
            app = App(_Conn, dict(paused))
            app.settings.update({"batteries": given, "lcd.fitted": False})
            app.settings.pop("phone", None)
            setup.configure(app)
            late = app.batteries[-1]
            if not late.store:
                assert app.paused
                late.link.address = "A4:C1:37:12:3F:56"
                late.link.connected = True
                late.link_changed(late.link)
            assert app.paused is None
            for one in app.batteries:
                assert one.store.boot == 1 and one.store._paused is None


async def test_who_looks_for_a_name_leaves_the_one_that_another_knows_by_its_address():
    second = dict(_JK, dev_name="c8:47:80:12:34:56")
    for given in ([_JK, second], [second, _JK]) * 2:
        with _Board() as board:
            twin = jikong.make(battery.make("house", 2))
            twin.addr = twin.addr[:-1] + b"\x01"
            fresh(twin, jikong.make(battery.make("van", 1)))
            app = board.start(given)
            running = [asyncio.create_task(one.log()) for one in app.batteries]
            await asyncio.sleep(60)
            for task in running:
                task.cancel()
            for one in app.batteries:
                end = "01" if one.called == "jk-pak01" else "56"
                assert one.link.address == "C8:47:80:12:34:" + end, (given, one.link.address)
            fresh()


async def test_before_shards_are_packed_all_batteries_are_stored_and_counted():
    with _Board() as board:
        app = board.start([_JK, _JBD], more={"watchdog_s": 0})  # it would bite tests after this
        stores = [one.store for one in app.batteries]
        for store in stores:
            store.limit = 3000
        for i in range(400):
            for store in stores:
                await asyncio.sleep(1)
                store.append(data_frame(i))
        assert len(stores[0].unsealed) >= 2 and all([store.waiting.n for store in stores])
        try:
            await app._housekeeping()
        except machine.Reset:
            pass
        for store in stores:
            # else the pause comes on top of the ten minutes; a shard that begins has an anchor
            assert store.waiting.n <= 1 and not store.waiting.held, store.waiting.n
            counted = sums.load("/data", store.name)
            rows = sums.values(counted)[sums.NAMES.split().index("rows")]
            assert rows == 400, (store.name, rows)
            assert sums.place(counted)[0] == store.waiting.shard
