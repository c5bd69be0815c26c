from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unetkit.foundation.synthetic_spine import make_spine
from unetkit.foundation.synthetic_vertebra import Deformity, Vertebra

SIZE, VOXEL = (40, 64, 64), (2.5, 1.6, 1.6)


def test_the_same_seed_gives_the_same_volume() -> None:
    spine, again, other = (make_spine(SIZE, seed, VOXEL) for seed in (5, 5, 6))
    assert spine.image.shape == spine.labels.shape == SIZE
    assert (spine.image.dtype, spine.labels.dtype) == (np.int16, np.uint8)
    assert np.array_equal(spine.image, again.image)
    assert np.array_equal(spine.labels, again.labels)
    assert spine.fractures == again.fractures
    assert not np.array_equal(spine.image, other.image)


def test_vertebrae_are_numbered_from_below_and_harder_than_what_is_around_them() -> None:
    spine = make_spine(SIZE, 1, VOXEL)
    numbers = np.unique(spine.labels)
    assert np.array_equal(numbers, np.arange(len(numbers)))
    assert len(numbers) - 1 in (3, 4, 5)
    heights = [ndimage.center_of_mass(spine.labels == number)[0] for number in numbers[1:]]
    assert heights == sorted(heights)
    assert spine.image[spine.labels > 0].mean() > 200 > spine.image[spine.labels == 0].mean() + 100
    assert spine.image.max() <= 3071


def test_each_vertebra_is_one_piece() -> None:
    spine = make_spine(SIZE, 2, VOXEL)
    for number in range(2, spine.labels.max()):  # those at the ends may be cut into several
        assert ndimage.label(spine.labels == number, np.ones((3, 3, 3)))[1] == 1


def test_fractures_are_drawn_where_they_are_asked_for() -> None:
    assert not make_spine(SIZE, 3, VOXEL, fractured=False).fractured
    spine = make_spine(SIZE, 3, VOXEL, fractured=True)
    assert spine.fractured
    assert set(spine.fractures) <= set(range(1, spine.labels.max() + 1))
    drawn = [make_spine((8, 16, 16), seed, (9.0, 6.0, 6.0), fineness=1).fractured for seed in range(12)]
    assert 2 < sum(drawn) < 10


def test_borders_have_values_in_between() -> None:
    fine = make_spine(SIZE, 4, VOXEL, fractured=False)
    inside = ndimage.binary_erosion(fine.labels > 0, iterations=2)
    assert (fine.labels > 0).sum() > inside.sum() > 0
    coarse = make_spine((20, 32, 32), 4, (5.0, 3.2, 3.2), fractured=False)
    shares = [(each.labels > 0).mean() for each in (fine, coarse)]
    assert shares[1] == pytest.approx(shares[0], rel=0.15)  # the same patient, seen with larger voxels


@pytest.mark.parametrize("kind", ["wedge", "biconcave", "crush"])
def test_a_fracture_takes_height_where_its_kind_says(kind: str) -> None:
    usual = Vertebra(26, 31, 42, 8, 1.5, 600, 150)
    broken = Vertebra(26, 31, 42, 8, 1.5, 600, 150, Deformity(kind, 0.4, 0.0))  # type: ignore[arg-type]
    box, voxel = (slice(-20, 20), slice(-16, 17), slice(0, 1)), (1.0, 1.0, 1.0)

    def heights(vertebra: Vertebra) -> list[float]:
        share, _, _ = vertebra.sampled(box, voxel, 2, np.random.default_rng(0))
        return [float(share[:, row].sum()) for row in (4, 16)]

    lost = [1 - after / before for before, after in zip(heights(usual), heights(broken), strict=True)]
    front, middle = {"wedge": (0.33, 0.2), "biconcave": (0.15, 0.42), "crush": (0.4, 0.42)}[kind]
    assert lost == pytest.approx([front, middle], abs=0.09)


def test_no_mean_over_voxels_tells_fractures_apart() -> None:
    spines = [make_spine((16, 32, 32), seed, (6.0, 3.2, 3.2), bool(seed % 2), fineness=1) for seed in range(40)]
    truth = np.array([spine.fractured for spine in spines])
    for values in (
        [spine.image.mean() for spine in spines],
        [(spine.image > 200).mean() for spine in spines],
        [np.percentile(spine.image, 99) for spine in spines],
        [(spine.labels > 0).mean() for spine in spines],
    ):
        ranks = np.argsort(np.argsort(values))
        auc = (ranks[truth].sum() - 190) / 400  # of 20 and 20: the Mann-Whitney statistic
        assert 0.15 < auc < 0.85
