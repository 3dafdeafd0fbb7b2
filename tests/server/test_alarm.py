"""One timer for many things: each is called once, at its time, unless it was dropped."""

from __future__ import annotations

import asyncio
import time

from server.alarm import Alarm

LATE_S = 0.5  # of a busy machine


class Rung:
    """What was called, and how long after the start."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.after_s: dict[str, float] = {}

    def __call__(self, thing: str) -> None:
        assert thing not in self.after_s
        self.after_s[thing] = time.monotonic() - self.begun


def rings(alarm: Alarm[str], rung: Rung, *times_s: float, wait_s: float) -> dict[str, float]:
    async def run() -> None:
        for at in times_s:
            alarm.set(str(at), rung.begun + at)
        await asyncio.sleep(wait_s)

    asyncio.run(run())
    return rung.after_s


def test_each_thing_is_called_at_its_own_time_whatever_their_order() -> None:
    rung = Rung()
    after_s = rings(Alarm(rung), rung, 0.10, 0.02, 0.30, 0.06, 0.061, wait_s=0.4)
    assert set(after_s) == {"0.02", "0.06", "0.061", "0.1", "0.3"}
    assert all(float(at) <= seen < float(at) + LATE_S for at, seen in after_s.items())


def test_a_time_in_the_past_is_called_at_once() -> None:
    rung = Rung()
    assert set(rings(Alarm(rung), rung, -1.0, 60.0, wait_s=0.05)) == {"-1.0"}


def test_what_was_dropped_is_not_called() -> None:
    rung = Rung()
    alarm = Alarm(rung)

    async def run() -> None:
        alarm.set("dropped", time.monotonic() + 0.01)
        alarm.drop("dropped")
        alarm.drop("never set")
        await asyncio.sleep(0.03)
        alarm.set("kept", time.monotonic() + 0.01)
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert set(rung.after_s) == {"kept"}


def test_a_thousand_things_share_one_timer() -> None:
    async def run() -> list[int]:
        rung: list[int] = []
        alarm: Alarm[int] = Alarm(rung.append)
        timers = 0
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def counted(*arguments: object) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_later(*arguments)  # type: ignore[arg-type]

        loop.call_later = counted  # type: ignore[method-assign, assignment]
        soon = time.monotonic() + 0.02
        for number in range(1000):
            alarm.set(number, soon + number * 1e-6)
        await asyncio.sleep(0.1)
        assert timers < 10
        return rung

    assert sorted(asyncio.run(run())) == list(range(1000))


def test_a_thing_may_set_another_when_it_is_called() -> None:
    async def run() -> list[str]:
        rung = []

        def ring(thing: str) -> None:
            rung.append(thing)
            if len(rung) < 3:
                alarm.set(thing + "'", time.monotonic())

        alarm = Alarm(ring)
        alarm.set("a", time.monotonic())
        await asyncio.sleep(0.2)
        return rung

    assert asyncio.run(run()) == ["a", "a'", "a''"]
