"""The encoding threads: order, bounds, errors."""

import threading
import time

import numpy as np
import pytest

from unetkit.io.writing import workers as module
from unetkit.io.writing.workers import Workers


def jobs(count, size=1000):
    return [np.full(size, number, np.uint8) for number in range(count)]


def test_results_come_in_the_order_of_the_jobs():
    def work(job):
        time.sleep(0.001 * (job[0] % 3))
        return int(job[0])

    with Workers() as workers:
        assert list(workers.map(work, jobs(50))) == list(range(50))


def test_no_more_jobs_are_taken_than_may_wait(monkeypatch):
    monkeypatch.setattr(module, "WAITING_BYTES", 5000)
    taken = []

    def pull():
        for job in jobs(100):
            taken.append(job)
            yield job

    with Workers() as workers:
        for done, _ in enumerate(workers.map(len, pull())):
            assert len(taken) <= done + 6


def test_an_error_is_raised_in_its_place_and_running_work_ends_before_the_block_is_left():
    running = threading.Event()
    ended = []

    def work(job):
        if job[0] == 0:
            running.wait(1)
            raise KeyError("work")
        if job[0] == 1:
            running.set()
            time.sleep(0.05)
        ended.append(int(job[0]))

    with pytest.raises(KeyError, match="work"), Workers() as workers:
        list(workers.map(work, jobs(100)))
    count = len(ended)
    assert 1 in ended
    time.sleep(0.02)
    assert len(ended) == count
