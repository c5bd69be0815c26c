from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from decoding import count_decoding

from unetkit.data.datamodule import SegmentationData
from unetkit.data.loading import Decoded
from unetkit.data.pairs import find_pairs
from unetkit.data.pool import measure_image
from unetkit.data.store import ImageStore
from unetkit.foundation.errors import ImageError
from unetkit.models.normalization import Normalization

PLAIN = (slice(3, 20), slice(5, 40))


def size_of(decoded: Decoded) -> int:
    return decoded.without_sample().nbytes


def test_what_there_is_room_for_is_decoded_once(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, reads = find_pairs(cells), count_decoding(monkeypatch)
    store = ImageStore(2**30)
    for _ in range(3):
        assert store.visit(pairs, lambda decoded: decoded.pair) == pairs
        assert store.read_pixels(pairs[0], PLAIN, None).shape == (1, 17, 35)
        assert store.load(pairs[1]).pixels.shape == (1, 150, 100)
    assert set(reads.values()) == {1}
    assert len(reads) == 12


def test_what_there_is_no_room_for_is_read_again_and_is_the_same(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, reads = find_pairs(cells), count_decoding(monkeypatch)
    kept, read = ImageStore(2**30), ImageStore()
    meanings = kept.visit(pairs, lambda decoded: decoded.meaning)
    read.visit(pairs, size_of)
    assert set(reads.values()) == {2}
    for window in (None, PLAIN):
        for pair, meaning in zip(pairs, meanings, strict=True):
            np.testing.assert_array_equal(*(store.read_pixels(pair, window, None) for store in (kept, read)))
            np.testing.assert_array_equal(*(store.read_labels(pair, window, meaning) for store in (kept, read)))
    assert set(reads.values()) == {4}


def test_less_room_lets_images_go_and_more_takes_others_up(cells: Path) -> None:
    pairs = find_pairs(cells)
    store = ImageStore()
    sizes = store.visit(pairs, size_of)
    for room, count in ((sum(sizes[:3]), 3), (sizes[0], 1), (sum(sizes), 6), (0, 0)):
        store.resize(room)
        for pair in pairs:  # one by one, so that the order is known
            store.visit([pair], size_of)
        assert [store.keeps(pair) for pair in pairs] == [True] * count + [False] * (6 - count)


def test_a_kept_image_is_measured_as_when_it_was_decoded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, hole in (("plain", 0), ("hole", 9)):
        pixels = rng.normal(100, 10, (40, 48)).astype(np.float32)
        pixels[:hole] = np.nan
        for folder, array in (("images", pixels), ("masks", np.eye(40, 48, dtype=np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", array)
    store, pairs = ImageStore(2**30), find_pairs(tmp_path)
    first, again = (store.visit(pairs, lambda decoded: measure_image(decoded, Normalization())) for _ in range(2))
    assert all(store.keeps(pair) for pair in pairs)
    for one, other in zip(first, again, strict=True):
        assert one.digest == other.digest
        assert (one.holes is None) == (other.holes is None) == (one.pair.name == "plain")
        np.testing.assert_array_equal(one.sample, other.sample)
        np.testing.assert_array_equal(one.statistics.center, other.statistics.center)


def test_a_file_that_cannot_be_read_is_an_error(cells: Path) -> None:
    pairs = find_pairs(cells)
    (cells / "images/cell3.tif").write_bytes(b"no image")
    with pytest.raises(ImageError, match="cell3"):
        ImageStore().visit(pairs, size_of)


def test_a_store_can_be_sent_to_a_worker(cells: Path) -> None:
    store, pairs = ImageStore(2**30), find_pairs(cells)
    store.visit(pairs, size_of)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.keeps(pairs[5])
    np.testing.assert_array_equal(copy.read_pixels(pairs[5], None, None), store.read_pixels(pairs[5], None, None))


def test_data_that_are_given_a_store_take_from_it_and_keep_to_their_own_room(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, store = find_pairs(cells), ImageStore(2**30)
    store.visit(pairs, size_of)
    reads = count_decoding(monkeypatch)
    for fold in range(3):
        data = SegmentationData(str(cells), folds=3, fold=fold, crop=64, workers=0)
        data.use_store(store)
        data.setup("fit")
        assert next(iter(data.train_dataloader()))["image"].shape == (8, 1, 64, 64)
    assert not reads
    small = SegmentationData(str(cells), crop=64, workers=0, cache_gb=0)
    small.use_store(store)
    small.setup("fit")
    assert not any(store.keeps(pair) for pair in pairs)
