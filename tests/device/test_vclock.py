# The virtual clock itself: order, jumps, waits, cancellation
import asyncio
import time

import vclock


async def test_sleep_jumps_and_keeps_order():
    seen = []

    async def worker(name, delay_ms):
        await asyncio.sleep_ms(delay_ms)
        seen.append((name, vclock.now_ms()))

    start = vclock.now_ms()
    tasks = [asyncio.create_task(worker(i, 3600_000 * (5 - i))) for i in range(5)]
    for t in tasks:
        await t
    assert [n for n, _ in seen] == [4, 3, 2, 1, 0]
    assert [t - start for _, t in seen] == [3600_000 * k for k in range(1, 6)]


async def test_events_wake_tasks_through_flags():
    flag = asyncio.ThreadSafeFlag()
    start = vclock.now_ms()
    vclock.call_later(500, flag.set)
    await asyncio.wait_for(flag.wait(), 10)
    assert vclock.now_ms() - start == 500


async def test_wait_for_times_out_at_the_virtual_time():
    start = vclock.now_ms()
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 7)
        raise AssertionError("no timeout")
    except asyncio.TimeoutError:
        pass
    assert 7000 <= vclock.now_ms() - start <= 7001


async def test_spinning_does_not_stop_time():
    hit = []
    vclock.call_later(20, hit.append, 1)
    while not hit:
        await asyncio.sleep_ms(0)


async def test_cancel_frees_a_waiting_task():
    ended = []

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    task = asyncio.create_task(forever())
    await asyncio.sleep_ms(1)
    task.cancel()
    try:
        await task
        raise AssertionError("not cancelled")
    except asyncio.CancelledError:
        pass
    assert ended == [1] and task.done()


async def test_gather_and_errors_reach_the_waiter():
    async def bad():
        await asyncio.sleep_ms(5)
        raise ValueError("x")

    async def good():
        await asyncio.sleep_ms(9)
        return 3

    assert (await asyncio.gather(good(), bad(), return_exceptions=True))[0] == 3


def test_calendar_is_the_boards():
    vclock.set_rtc(None)
    assert time.gmtime(0)[0] == 2000
    assert time.gmtime()[0] == 2000
    vclock.set_rtc(1780272000_000)  # 2026-06-01 00:00 UTC
    assert time.gmtime()[:3] == (2026, 6, 1)
    assert time.mktime(time.gmtime()) == time.time()
    vclock.set_rtc(None)


def test_ticks_wrap_as_on_a_board():
    a = (1 << 30) - 10
    assert time.ticks_add(a, 20) == 10
    assert time.ticks_diff(10, a) == 20
    assert time.ticks_diff(a, 10) == -20
