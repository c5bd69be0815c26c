"""Work on many files at a time."""

import threading
import time

import pytest

from unetkit.foundation.threads import map_in_threads


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
