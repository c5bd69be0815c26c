from __future__ import annotations

import pytest

from unetkit.cluster import pace
from unetkit.cluster.pace import Pace


def paced(seconds: float, pixels: int = 0, times: int = 5) -> Pace:
    each = Pace()
    for _ in range(times):
        each.note(seconds, pixels)
    return each


def test_two_tasks_a_thread_are_out_and_more_of_short_ones_but_not_endlessly() -> None:
    assert Pace().flights(4) == 8
    assert paced(60).flights(4) == 8
    assert paced(0.05).flights(4) == 24
    assert paced(0.0).flights(4) == 4 * 33
    assert paced(60).flights(0) == 0


def test_results_are_gathered_only_where_many_come_at_a_time() -> None:
    assert Pace().gathering(8) == 0
    assert paced(1.0).gathering(8) == 0
    assert paced(0.0001).gathering(1) > 0


def test_a_task_is_slow_compared_with_others_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(pace, "monotonic", lambda: now)
    each = paced(10.0, 1_000_000)
    assert not each.is_slow(now, 1_000_000)
    now += 49
    assert not each.is_slow(1000.0, 1_000_000)
    now += 2
    assert each.is_slow(1000.0, 1_000_000)
    assert not each.is_slow(1000.0, 2_000_000), "twice the pixels take twice as long"
    each.full = 1040.0
    assert not each.is_slow(1000.0, 1_000_000), "it may have waited for a worker until then"


def test_nothing_is_slow_before_others_are_done() -> None:
    assert not paced(0.0, times=2).is_slow(-1e6, 0)
