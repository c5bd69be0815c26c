from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.cluster.performing import Outcome
from unetkit.cluster.tally import Tally, _Worker

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=20)


@given(spans)
def test_seconds_in_which_several_threads_work_count_once(times: list[tuple[int, int]]) -> None:
    worker = _Worker()
    seconds = set()
    for begin, length in sorted(times, key=sum):  # results come in order of their end
        worker.work(begin, begin + length)
        seconds.update(range(begin, begin + length))
    assert worker.seconds == len(seconds)


def test_few_spans_are_remembered_of_a_million_tasks() -> None:
    worker = _Worker()
    for index in range(1000):
        worker.work(index, index + 0.5)
    assert len(worker.spans) <= 64
    assert worker.seconds == pytest.approx(500)


def test_each_worker_has_a_line_and_losses_have_theirs() -> None:
    tally = Tally()
    tally.note("a", Outcome("tcp://1", 0.0, 2.0), 3_000_000)
    tally.note("a", Outcome("tcp://2", 4.0, 5.0), 3_000_000)
    tally.note("b", Outcome("tcp://3", 0.0, 1.0), 0)
    tally.note_loss("a", "it used more memory than its limit", 2)
    tally.note_retired(1)
    tally.note_second()
    assert tally.lines() == [
        "Worker a: 2 tasks, 6.0 Mpx in 3.0 s, 2.0 Mpx/s.",
        "Worker b: 1 task, 0.0 Mpx in 1.0 s.",
        "Worker a died: it used more memory than its limit.",
        "3 tasks of workers that went away were done again.",
        "1 task of slow workers was given to others too.",
    ]
