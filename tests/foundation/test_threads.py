"""Work on many files at a time."""

import threading
import time

import pytest

from unetkit.foundation.threads import map_in_threads, read_ahead


def test_results_are_in_the_order_of_the_jobs_and_several_run_at_a_time():
    together = threading.Barrier(2, timeout=10)

    def work(number):
        if number < 2:
            together.wait()  # ends only when both run
        time.sleep(0.001 * (number % 3))
        return 2 * number

    assert map_in_threads(work, range(30)) == [2 * number for number in range(30)]


def test_the_first_error_is_raised_and_what_has_not_begun_is_dropped():
    begun = []

    def work(number):
        begun.append(number)
        if number == 3:
            raise KeyError(number)
        time.sleep(0.01)
        return number

    with pytest.raises(KeyError, match="3"):
        map_in_threads(work, range(500))
    assert len(begun) < 100


def test_items_are_made_ahead_of_their_use_and_come_in_order():
    made = threading.Semaphore(0)

    def make():
        for number in range(20):
            made.release()
            yield number

    ahead = read_ahead(make(), most=2)
    assert next(ahead) == 0
    for _ in range(4):  # one in use, two that wait, one that is being handed on
        assert made.acquire(timeout=10)
    assert list(ahead) == list(range(1, 20))


def test_an_error_comes_in_the_place_of_its_item():
    def make():
        yield 1
        raise KeyError("two")

    ahead = read_ahead(make())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


def test_the_thread_ends_with_its_reader():
    def make():
        while True:
            yield 1

    before = threading.active_count()
    ahead = read_ahead(make())
    next(ahead)
    ahead.close()
    assert threading.active_count() == before
