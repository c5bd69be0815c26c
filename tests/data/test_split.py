from __future__ import annotations

from pathlib import Path

from unetkit.data.pairs import Pair
from unetkit.data.split import split_fraction


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
