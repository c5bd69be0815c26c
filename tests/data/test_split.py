from __future__ import annotations

from pathlib import Path

import pytest

from unetkit.data.pairs import Pair
from unetkit.data.split import split_folds, split_fraction
from unetkit.foundation.errors import DataError


def test_fraction_of_a_single_stack_is_a_run_of_pages() -> None:
    pairs = [Pair(f"s[{page}]", Path("s.tif"), Path("m.tif"), page, page) for page in range(20)]
    for seed in range(20):
        train, val = split_fraction(pairs, 0.2, seed)
        pages = [pair.image_plane for pair in val if pair.image_plane is not None]
        assert pages == list(range(pages[0], pages[0] + 4))
        assert sorted([*train, *val], key=pairs.index) == pairs


def test_planes_of_a_file_stay_together() -> None:
    pairs = [
        Pair(f"{name}[{page}]", Path(f"{name}.tif"), Path(f"{name}m.tif"), page, page)
        for name in "abcde"
        for page in range(3)
    ]
    train, val = split_fraction(pairs, 0.3, 0)
    assert len(val) == 6
    assert not {pair.image for pair in train} & {pair.image for pair in val}


def test_at_least_one_image_is_on_each_side() -> None:
    pairs = [Pair(name, Path(f"{name}.tif"), Path(f"{name}m.tif")) for name in "abc"]
    assert [len(part) for part in split_fraction(pairs, 0.01, 0)] == [2, 1]
    assert [len(part) for part in split_fraction(pairs, 0.99, 0)] == [1, 2]
    assert split_fraction(pairs, 0, 0) == (pairs, [])


def files(names: str) -> list[Pair]:
    return [Pair(name, Path(f"{name}.tif"), Path(f"{name}m.tif")) for name in names]


def held_of_all(pairs: list[Pair], digests: list[str], folds: int, seed: int = 0) -> list[list[int]]:
    """The images of each fold, after checking that those to train on are all others."""
    held = []
    for fold in range(folds):
        train, val = split_folds(pairs, digests, folds, fold, seed)
        assert sorted(train + val) == list(range(len(pairs)))
        assert train == sorted(train)
        assert val == sorted(val)
        held.append(val)
    return held


def own_digests(pairs: list[Pair]) -> list[str]:
    return [str(index) for index in range(len(pairs))]


@pytest.mark.parametrize("folds", [2, 3, 5, 11])
def test_every_image_is_in_one_fold_and_folds_differ_by_one_at_most(folds: int) -> None:
    pairs = files("abcdefghijk")
    held = held_of_all(pairs, own_digests(pairs), folds)
    assert sorted(index for part in held for index in part) == list(range(11))
    assert max(map(len, held)) - min(map(len, held)) <= 1


def test_folds_follow_from_the_seed() -> None:
    pairs = files("abcdefghijk")
    zero, again, other = (held_of_all(pairs, own_digests(pairs), 3, seed) for seed in (0, 0, 1))
    assert zero == again != other


def test_folds_of_a_stack_are_runs_of_pages_and_those_of_many_stacks_whole_files() -> None:
    stack = [Pair(f"s[{page}]", Path("s.tif"), Path("m.tif"), page, page) for page in range(10)]
    assert held_of_all(stack, own_digests(stack), 3, seed=7) == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    several = [Pair(f"{n}[{p}]", Path(f"{n}.tif"), Path(f"{n}m.tif"), p, p) for n in "abcd" for p in range(3)]
    for held in held_of_all(several, own_digests(several), 2):
        assert len({several[index].image for index in held}) == 2
        assert len(held) == 6


def test_copies_of_an_image_share_a_fold() -> None:
    pairs = files("abcdefgh")
    digests = ["x", "1", "2", "x", "3", "4", "5", "x"]
    for seed in range(10):
        assert any({0, 3, 7} <= set(held) for held in held_of_all(pairs, digests, 3, seed))


def test_fewer_different_images_than_folds_are_an_error() -> None:
    with pytest.raises(DataError, match="2 different images cannot be split into 3 folds") as caught:
        split_folds(files("abc"), [b"x", b"1", b"x"], 3, 0, 0)
    assert "data.folds to 2" in caught.value.remedy
