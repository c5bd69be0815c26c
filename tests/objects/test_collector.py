"""Objects are handed on once, whole, whatever the rows in which they come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.measure import label

from unetkit.objects.collector import Collector, LastRows, Objects
from unetkit.objects.runs import find_runs

IMAGES = arrays(
    np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4), fill=st.just(0)
)


def collect(labels: NDArray[np.uint16], heights: list[int], last_rows: LastRows | None) -> Iterator[Objects]:
    collector, top = Collector(3, len(labels), last_rows), 0
    for height in [*heights, len(labels)]:
        rows = labels[top : top + height]
        if len(rows):
            new, done = collector.add(rows)
            assert new.lengths.sum() == (rows > 0).sum()
            if done is not None:
                yield done
        top += height


def draw(batches: list[Objects], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    drawn = np.zeros(shape, np.uint16)
    for batch in batches:
        for i, runs in enumerate(batch.runs[slice(*batch.first[i : i + 2])] for i in range(len(batch))):
            assert set(runs.labels) == {batch.labels[i]}
            for row, start, stop in zip(runs.rows, runs.starts, runs.stops, strict=True):
                assert not drawn[row, start:stop].any()
                drawn[row, start:stop] = batch.labels[i]
    return drawn


def last_rows_of(labels: NDArray[np.uint16]) -> LastRows:
    found = np.unique(labels[labels > 0])
    return LastRows(found, np.array([np.flatnonzero((labels == one).any(1))[-1] for one in found], np.int32))


@given(labels=IMAGES, heights=st.lists(st.integers(1, 4), max_size=4), connected=st.booleans())
def test_every_object_comes_once_and_whole(labels: NDArray[np.uint16], heights: list[int], connected: bool) -> None:
    if connected:
        labels = label(labels, connectivity=2).astype(np.uint16)
    batches = list(collect(labels, heights, None if connected else last_rows_of(labels)))
    np.testing.assert_array_equal(draw(batches, labels.shape), labels)
    came = [int(one) for batch in batches for one in batch.labels]
    assert sorted(came) == np.unique(labels[labels > 0]).tolist()
    for batch in batches:
        assert batch.plane == 3
        assert (np.diff(batch.labels.astype(int)) > 0).all()
        np.testing.assert_array_equal(batch.labels[batch.owners], batch.runs.labels)


@pytest.mark.parametrize("last_rows", [None, "given"])
def test_an_object_comes_as_soon_as_it_is_complete(last_rows: str | None) -> None:
    labels = np.zeros((40, 10), np.uint16)
    labels[2:8, 2:5], labels[4:30, 7:9] = 2, 1
    collector = Collector(0, 40, last_rows and last_rows_of(labels))
    done = [collector.add(labels[top : top + 10])[1] for top in range(0, 40, 10)]
    assert [None if one is None else one.labels.tolist() for one in done] == [
        [2],
        None,
        None if last_rows is None else [1],
        [1] if last_rows is None else None,
    ]


def test_runs_do_not_cross_from_one_row_into_the_next() -> None:
    runs = find_runs(np.full((3, 4), 9, np.uint32), top=2)
    assert runs.rows.tolist() == [2, 3, 4]
    assert runs.lengths.tolist() == [4, 4, 4]


def test_empty_rows_have_no_runs() -> None:
    assert len(find_runs(np.zeros((3, 4), np.uint8))) == 0
    assert Collector(0, 3).add(np.zeros((3, 4), np.uint8))[1] is None
