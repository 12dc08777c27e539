# Simulated batteries, and the BMS peripherals that tell of them
# Through the translated drivers over the simulated radio, the decoded sample is the battery.
import asyncio
import json
import os
import struct

import air
import battery
import jbd
import jikong
import replay

_DAY_MS = 86400_000
_VECTORS = __file__.rsplit("/", 1)[0] + "/../data/vectors/"
_KINDS = ("van", "house", "ebike")
_CHUNKS = (20, 23, 61, 128, 244)


def _state(b):
    return (
        b.current_ma, b.voltage_mv, tuple(b.cells_mv), b.soc_milli, b.remaining_mah,
        tuple(b.temp_dc), b.cycles, b.charge_in_mas, b.charge_out_mas,
    )  # fmt: skip


def _net_mas(b):
    return b.charge_in_mas - b.charge_out_mas


# batteries


def test_truth_is_the_sum_of_all_seconds():
    for kind in _KINDS:
        b = battery.make(kind, 5)
        taken_in = taken_out = 0
        start_mah = b.remaining_mah
        for t_s in range(1, 14 * 3600):
            b.advance(t_s * 1000)
            if b.current_ma > 0:
                taken_in += b.current_ma
            else:
                taken_out -= b.current_ma
        assert (taken_in, taken_out) == (b.charge_in_mas, b.charge_out_mas)
        assert taken_in and taken_out
        assert abs((taken_in - taken_out) / 3600 - (b.remaining_mah - start_mah)) <= 2


def test_polls_of_two_seconds_see_the_charge():
    for kind in ("van", "ebike"):
        b = battery.make(kind, 1)
        seen = t_ms = last_ms = 0
        while t_ms < _DAY_MS:
            b.advance(t_ms)
            seen += b.current_ma * (t_ms - last_ms)
            last_ms = t_ms
            t_ms += 2000 + t_ms // 7 % 97
        moved = b.charge_in_mas + b.charge_out_mas
        assert abs(seen // 1000 - _net_mas(b)) < moved // 1000, (kind, seen, _net_mas(b))


def test_the_way_there_does_not_matter():
    for kind in _KINDS:
        walked = battery.make(kind, 9)
        t_ms = 0
        rnd = battery._Random(3)
        while t_ms < _DAY_MS:
            walked.advance(t_ms)
            if rnd(0, 9) == 0:
                walked.cells_mv
            t_ms += rnd(1, 90_000)
        t_ms = _DAY_MS + 1234
        walked.advance(t_ms)
        jumped = battery.make(kind, 9)
        jumped.advance(t_ms)
        assert _state(walked) == _state(jumped), kind


def test_seeds_make_batteries():
    for kind in _KINDS:
        states = []
        for seed in (1, 1, 2):
            b = battery.make(kind, seed)
            b.advance(_DAY_MS)
            states.append(_state(b))
        assert states[0] == states[1] and states[0] != states[2]


def test_a_month_stays_within_bounds_and_days_differ():
    for kind in _KINDS:
        b = battery.make(kind, 4)
        nets = []
        last = 0
        for hour in range(1, 30 * 24 + 1):
            b.advance(hour * 3600_000)
            assert 20_000 <= b.soc_milli <= 100_000, (kind, hour, b.soc_milli)
            assert all(2800 < mv < 3700 for mv in b.cells_mv), (kind, hour, b.cells_mv)
            assert all(-100 < dc < 600 for dc in b.temp_dc), (kind, hour, b.temp_dc)
            if hour % 24 == 0:
                nets.append(_net_mas(b) - last)
                last = _net_mas(b)
        assert len(set(nets)) > 25, nets
        assert max(nets) > 0 > min(nets)


def test_a_two_day_van_has_a_net_charge():
    b = battery.make("van", 1)
    b.advance(2 * _DAY_MS)
    assert abs(_net_mas(b)) > 20 * 3600_000


def test_a_big_load_pulls_the_cells_down():
    b = battery.make("van", 1)
    t_ms = 0
    while b.current_ma > -60_000:
        calm_mv, calm_ma = b.voltage_mv, b.current_ma
        t_ms += 5000
        assert t_ms < 2 * _DAY_MS
        b.advance(t_ms)
    sag_mv = (calm_mv - b.voltage_mv) * 1000
    drop_ma = calm_ma - b.current_ma
    assert 0.2 < sag_mv / drop_ma / 4 < 0.6, (sag_mv, drop_ma)  # mohm


def test_unknown_batteries_are_refused():
    try:
        battery.make("no-such-battery")
        raise AssertionError("made from nothing")
    except OSError:
        pass
    try:
        battery.make(__file__)
        raise AssertionError("made from python")
    except ValueError as exc:
        assert "packed" in str(exc)


# packed poll logs

_LOG = "/tmp/batmon-test-%s.bpl" % os.urandom(4).hex()


def _packed(rows, cells, every_cell):
    data = struct.pack("<4sBBHII", b"BPL1", cells, every_cell, 100, len(rows), 0)
    for t_s, mv, ma, dc, soc, values in rows:
        data += struct.pack("<IIihH", t_s, mv, ma, dc, soc)
        data += struct.pack("<%dH" % cells if every_cell else "<HHBB", *values)
    with open(_LOG, "wb") as f:
        f.write(data)
    return battery.make(_LOG)


def test_a_packed_log_is_played():
    rows = (
        (0, 13200, 1000, 201, 5000, (3290, 3310, 2, 0)),
        (10, 13240, 2000, 199, 5100, (3300, 3320, 2, 1)),
        (1000, 13100, -500, -20, 5050, (3270, 3280, 3, 0)),
    )
    b = _packed(rows, 4, 0)
    try:
        b.advance(0)
        assert (b.voltage_mv, b.soc_milli, b.remaining_mah) == (13200, 50000, 50000)
        assert b.temp_dc == [201]
        assert b.cells_mv == [3310, 3300, 3290, 3300]
        b.advance(5000)
        assert b.current_ma == 1500  # drawn between rows that are near
        assert b.charge_in_mas == 1100 + 1200 + 1300 + 1400 + 1500
        b.advance(500_000)
        assert b.current_ma == 2000 and b.voltage_mv == 13240  # held over a gap
        b.advance(1000_000)
        assert (b.current_ma, b.temp_dc, b.cells_mv[0]) == (-500, [-20], 3280)
        out = b.charge_out_mas
        b.advance(5000_000)
        assert b.current_ma == 0 and b.voltage_mv == 13100  # held at the end, at rest
        assert b.charge_out_mas == out
    finally:
        os.remove(_LOG)


def test_a_packed_log_with_every_cell():
    rows = [(2 * i, 9900 + i, -i, 250, 9000 - i, (3300 + i, 3299, 3301)) for i in range(700)]
    b = _packed(rows, 3, 1)
    try:
        out = 0
        for t_s in range(2 * 699 + 1):
            b.advance(1000 * t_s)
            out -= b.current_ma
            i = t_s // 2
            if t_s % 2 == 0:
                assert (b.voltage_mv, b.current_ma, b.soc_milli) == (9900 + i, -i, 90000 - 10 * i)
                assert b.cells_mv == [3300 + i, 3299, 3301]
        assert b.charge_out_mas == out
    finally:
        os.remove(_LOG)


# frames


def _frames(peripheral, requests):
    # what the peripheral says to each request, undivided
    said = []
    peripheral.notify = lambda handle, data, delay_ms=0: said.append(bytes(data))
    out = []
    for handle, request in requests:
        said.clear()
        peripheral.on_write(handle, request, False)
        out.append(list(said))
    return out


def _jk_request(command):
    body = b"\xaa\x55\x90\xeb" + bytes((command,)) + bytes(14)
    return body + bytes((sum(body) & 0xFF,))


def test_jikong_frames_are_whole():
    p = jikong.make(battery.make("house", 1))
    answers = _frames(p, [(3, _jk_request(c)) for c in (0x97, 0x96, 0x96, 0x96)])
    for messages in answers:
        for m in messages:
            if m.startswith(b"AT\r\n"):
                m = m[4:]
            if m:
                assert m[:4] in (b"\x55\xaa\xeb\x90", b"\xaa\x55\x90\xeb")
                assert sum(m[:-1]) & 0xFF == m[-1]
                assert len(m) == (300 if m[0] == 0x55 else 20)
    assert any(m[4:5] == b"\xc8" for m in answers[0])


def test_jbd_frames_are_whole():
    p = jbd.make(battery.make("van", 1))
    requests = []
    for command in (3, 4, 5, 9):
        body = bytes((command, 0))
        crc = (0x10000 - sum(body)) & 0xFFFF
        requests.append((20, b"\xdd\xa5" + body + crc.to_bytes(2, "big") + b"\x77"))
    for (_, request), messages in zip(requests, _frames(p, requests)):
        (m,) = messages
        assert m[0] == 0xDD and m[1] == request[2] and m[-1] == 0x77
        assert len(m) == 7 + m[3]
        assert sum(m[2:-3]) + int.from_bytes(m[-3:-1], "big") & 0xFFFF == 0
        assert (m[2] == 0) == (m[1] in (3, 4, 5))


def test_bad_requests_get_no_answer():
    jk = jikong.make(battery.make("van", 1))
    good = _jk_request(0x96)
    bad = [good[:-1], good + b"\0", good[:-1] + b"\0", b"", bytes(20)]
    assert _frames(jk, [(3, r) for r in bad]) == [[]] * len(bad)
    good = b"\xdd\xa5\x03\x00\xff\xfd\x77"
    bad = [good[:-1], good + b"\0", good[:5] + b"\0\x77", b"", b"\xdd\xa5\x03\x09\xff\xfd\x77"]
    assert _frames(jbd.make(battery.make("van", 1)), [(20, r) for r in bad]) == [[]] * len(bad)


# drivers over the radio


async def _connect(peripheral, module):
    from bleak import BleakScanner

    from aiobmsble import BMSConfig

    air.add(peripheral)
    device = await BleakScanner.find_device_by_filter(lambda d, a: d.name == peripheral.name)
    assert device, "not found"
    driver = __import__("aiobmsble.bms." + module, None, None, ("BMS",))
    return driver.BMS(device, BMSConfig(keep_alive=True, secret=""))


async def _polls(peripheral, module, polls, pause_s):
    """Samples, each with the battery's states at the last two times it was told of."""
    sent = [None, None]

    def on_sample(t_ms, b):
        sent.append(_state(b))
        sent.pop(0)

    peripheral.on_sample = on_sample
    bms = await _connect(peripheral, module)
    try:
        out = []
        for _ in range(polls):
            sample = await bms.async_update()
            out.append((sample, tuple(sent)))
            await asyncio.sleep(pause_s)
    finally:
        await bms.disconnect()
        air.reset()
    return out


def _near(a, b, tolerance):
    return abs(a - b) <= tolerance + 1e-5 * abs(b)


def _check(sample, state, volt, amp, ah):
    current_ma, voltage_mv, cells_mv, soc_milli, remaining_mah, temp_dc, cycles, _, _ = state
    assert _near(sample["voltage"], voltage_mv / 1000, volt), (sample, state)
    assert _near(sample["current"], current_ma / 1000, amp), (sample, state)
    assert _near(sample["battery_level"], soc_milli / 1000, 0.5), (sample, state)
    assert _near(sample["cycle_charge"], remaining_mah / 1000, ah), (sample, state)
    assert sample["cycles"] == cycles
    assert [round(v * 1000) for v in sample["cell_voltages"]] == list(cells_mv)
    assert sorted(round(t.value * 10) for t in sample["temp_values"]) == sorted(temp_dc)
    assert sample["chrg_mosfet"] and sample["dischrg_mosfet"]
    assert _near(sample["delta_voltage"], (max(cells_mv) - min(cells_mv)) / 1000, 1e-4)


async def test_jikong_driver_reads_the_battery():
    for chunk in _CHUNKS:
        b = battery.make("house" if chunk & 1 else "van", chunk)
        p = jikong.make(b)
        p.chunk = chunk
        b.problem = 0x0102
        for sample, (_, state) in await _polls(p, "jikong_bms", 8, 977):
            _check(sample, state, 0, 0, 0)
            assert sample["design_capacity"] == b.design_mah // 1000
            assert sample["problem_code"] == 0x0102 and sample["problem"]


async def test_drivers_read_a_packed_log():
    rows = [(900 * i, 13200 + i, 7 - i, 180, 5000, (3299, 3302, 3, 1)) for i in range(20)]
    for peripheral, module, volt in ((jikong, "jikong_bms", 0), (jbd, "jbd_bms", 0.0051)):
        p = peripheral.make(_packed(rows, 4, 0))
        try:
            for sample, (_, state) in await _polls(p, module, 4, 977):
                _check(sample, state, volt, volt, volt)
        finally:
            os.remove(_LOG)


async def test_jikong_stream_is_read():
    p = jikong.make(battery.make("ebike", 1), stream_ms=500)
    for sample, states in await _polls(p, "jikong_bms", 10, 7):
        charges = [s[4] / 1000 for s in states if s]  # the newest may still be on its way
        assert any(_near(sample["cycle_charge"], ah, 0) for ah in charges)
        assert len(sample["cell_voltages"]) == 13


async def test_jbd_driver_reads_the_battery():
    for chunk in _CHUNKS:
        b = battery.make("ebike" if chunk & 1 else "house", chunk)
        p = jbd.make(b)
        p.chunk = chunk
        for sample, (_, state) in await _polls(p, "jbd_bms", 8, 977):
            _check(sample, state, 0.0051, 0.0051, 0.0051)
            assert sample["design_capacity"] == b.design_mah // 1000


# recorded conversations


def _case(module, name):
    with open(_VECTORS + module + ".json") as f:
        for case in json.load(f)["cases"]:
            if case["case"] == name:
                return case
    raise AssertionError("no case " + name)


async def _replayed(module, case, chunk, polls=3):
    bms = await _connect(replay.make(case, chunk), module)
    try:
        samples = []
        for _ in range(polls):
            samples.append(await bms.async_update())
            await asyncio.sleep(2)
    finally:
        await bms.disconnect()
        air.reset()
    return samples


async def test_the_recorded_jikong_is_played_for_ever():
    case = _case("jikong_bms", "test_update[JK02_24S-keep_alive]")
    for chunk in (20, 61, 128, 244):  # 21 to 23 cut through the chatter after the ready message
        for sample in await _replayed("jikong_bms", case, chunk):
            assert _near(sample["voltage"], 52.971, 1e-4)
            assert _near(sample["current"], 2.329, 1e-4)
            assert sample["battery_level"] == 56
            mv = [round(v * 1000) for v in sample["cell_voltages"]]
            assert (min(mv), max(mv), len(mv)) == (3308, 3314, 16)


async def test_the_recorded_jbd_and_daly_are_played():
    for module, name, chunk in (
        ("jbd_bms", "test_update[keep_alive]", 20),
        ("daly_bms", "test_update[keep_alive-False]", 244),
    ):
        case = _case(module, name)
        want = [e[1] for e in case["events"] if e[0] == "sample"]
        for sample in await _replayed(module, case, chunk):
            for key in ("voltage", "current", "battery_level", "cell_voltages"):
                got = sample[key]
                if key == "cell_voltages":
                    assert all(_near(a, b, 1e-5) for a, b in zip(got, want[0][key]))
                else:
                    assert _near(got, want[0][key], 1e-5), (module, key, got)
