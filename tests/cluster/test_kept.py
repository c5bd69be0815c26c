from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from unetkit.cluster.kept import drop_all, in_task, kept


@pytest.fixture(autouse=True)
def empty_shelf() -> Iterator[None]:
    drop_all()
    yield
    drop_all()


def test_a_thing_is_made_once_however_many_threads_ask_for_it() -> None:
    made: list[int] = []
    barrier = threading.Barrier(8)

    def ask(_: int) -> list[int]:
        barrier.wait()
        return kept("one", lambda: made.append(1) or [len(made)])  # type: ignore[func-returns-value]

    with ThreadPoolExecutor(8) as pool:
        things = list(pool.map(ask, range(8)))
    assert made == [1]
    assert all(thing is things[0] for thing in things)


def test_the_one_that_was_asked_for_longest_ago_is_closed_first() -> None:
    closed: list[str] = []
    for name in ("a", "b", "a", "c"):
        kept(("image", name), lambda name=name: name, closed.append, most=2)  # type: ignore[misc]
    assert closed == ["b"]


def test_kinds_do_not_push_each_other_out() -> None:
    closed: list[str] = []
    kept(("model", "m"), lambda: "m", closed.append, most=1)
    kept(("image", "i"), lambda: "i", closed.append, most=1)
    assert closed == []


def test_what_a_task_has_asked_for_stays_open_until_it_ends() -> None:
    closed: list[str] = []
    with in_task():
        for name in ("a", "b", "c"):
            kept(("image", name), lambda name=name: name, closed.append, most=1)  # type: ignore[misc]
        assert closed == []
    assert closed == ["a", "b"]


def test_nothing_is_kept_of_what_could_not_be_made() -> None:
    def fail() -> int:
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        kept("number", fail)
    assert kept("number", lambda: 5) == 5
