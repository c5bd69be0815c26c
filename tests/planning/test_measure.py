from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spoiling import edit
from tifffile import imread, imwrite

from unetkit.data.loading import decode
from unetkit.data.pairs import find_pairs
from unetkit.planning.choose_network import THIN_WIDTH
from unetkit.planning.look import Look, look_at
from unetkit.planning.measure import label_kind, look_at_all, measure


def _discs(folder: Path, radii: list[int], value: int = 255) -> Path:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    y, x = np.mgrid[:200, :200]
    for number, radius in enumerate(radii):
        inside = (y - 100) ** 2 + (x - 100) ** 2 < radius**2
        imwrite(folder / "masks" / f"{number}.tif", np.where(inside, value, 0).astype(np.uint8))
        imwrite(folder / "images" / f"{number}.tif", np.where(inside, 30, 200).astype(np.uint8))
    return folder


def test_facts_of_discs_are_those_of_geometry(tmp_path: Path) -> None:
    facts = measure(look_at_all(find_pairs(_discs(tmp_path, [20] * 11))))
    assert (facts.images, facts.files, facts.sides, facts.dtypes) == (11, 11, (200, 200, 200), ("uint8",))
    assert facts.diameters == pytest.approx((40, 40, 40), abs=0.5)
    assert facts.foreground == pytest.approx(np.pi * 400 / 200**2, rel=0.02)
    assert (facts.kind, facts.classes, facts.touching, facts.brighter) == ("binary", 2, 0, 0)
    assert facts.width > THIN_WIDTH


@pytest.mark.parametrize("cells", [True, False])
def test_thin_walls_and_thin_fibres_have_their_width(cells: bool, tmp_path: Path) -> None:
    _discs(tmp_path, [20])
    lines = np.zeros((200, 200), bool)
    for start in range(10, 200, 30):
        lines[start : start + 6] = lines[:, start : start + 6] = True
    imwrite(tmp_path / "masks" / "0.tif", np.where(lines ^ cells, 255, 0).astype(np.uint8))
    assert look_at(decode(find_pairs(tmp_path)[0])).width_of_rarer == pytest.approx(6, rel=0.2)
    assert measure(look_at_all(find_pairs(tmp_path))).width <= THIN_WIDTH


def test_numbers_of_touching_objects_are_instances(sound: Path, sound_looks: list[Look]) -> None:
    facts = measure(sound_looks)
    labels = [imread(path) for path in sorted((sound / "masks").iterdir())]
    assert facts.kind == "instances"
    assert facts.objects == pytest.approx(sum(mask.max() for mask in labels), rel=0.1)
    assert 0.05 < facts.touching < 1
    assert facts.brighter == 1


def test_labels_that_touch_at_a_corner_only_touch(tmp_path: Path) -> None:
    _discs(tmp_path, [20])
    labels = np.zeros((200, 200), np.uint8)
    labels[:50, :50], labels[50:90, 50:90], labels[120:, 120:] = 1, 2, 3
    imwrite(tmp_path / "masks" / "0.tif", labels)
    assert look_at(decode(find_pairs(tmp_path)[0])).touching == 2


def test_cells_between_membranes_are_one_value_and_not_instances(cells: Path) -> None:
    """As in electron microscopy: the insides fill the image, and touch at corners only."""
    grid = np.full((192, 192), 255, np.uint8)
    grid[::24], grid[:, ::24] = 0, 0
    edit(cells / "masks", lambda mask: grid)
    facts = measure(look_at_all(find_pairs(cells)))
    assert facts.kind == "binary"
    assert facts.foreground_range[0] > 0.5
    assert facts.objects == 10 * 64


def test_the_same_few_values_everywhere_are_classes(cells: Path) -> None:
    edit(cells / "masks", lambda mask: np.where(mask > 0, 1 + mask % 3, 0).astype(np.uint8))
    facts = measure(look_at_all(find_pairs(cells)))
    assert (facts.kind, facts.classes) == ("classes", 4)


def test_a_nucleus_in_a_cell_is_two_classes_though_each_is_one_piece(tmp_path: Path) -> None:
    _discs(tmp_path, [60, 50, 70])
    for number in range(3):
        path = tmp_path / "masks" / f"{number}.tif"
        labels = (imread(path) > 0).astype(np.uint8)
        labels[90:110, 90:110] = 2
        imwrite(path, labels)
    assert label_kind(look_at_all(find_pairs(tmp_path))) == "classes"


def test_an_empty_data_set_has_facts_too(sound_looks: list[Look]) -> None:
    empty = [
        replace(look, values=(), diameters=np.zeros(0, np.float32), pieces=0, touching=0, foreground=0.0, contrast=None)
        for look in sound_looks
    ]
    facts = measure(empty)
    assert (facts.kind, facts.objects, facts.diameters) == ("binary", 0, (0, 0, 0))
