"""Objects of volumes, section by section, against scikit-image and bodies of known size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from object_tables import blobs, measure_rows
from scipy.ndimage import generate_binary_structure, label
from skimage.measure import marching_cubes, mesh_surface_area, regionprops_table

from unetkit.objects import measurer as measurer_module
from unetkit.objects.collector import Collector
from unetkit.objects.columns import Measurements
from unetkit.objects.frame import Frame
from unetkit.objects.measurer import Measurer
from unetkit.objects.shape import find_boxes
from unetkit.objects.surface import surface_areas

SHAPE = (14, 40, 36)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.5, 0.4)])
def test_the_table_is_that_of_scikit_image(spacing: tuple[float, ...]) -> None:
    labels = blobs(SHAPE, 2, 1.5, above=0.8)
    image = np.random.default_rng(0).integers(0, 4000, (2, *SHAPE)).astype(np.uint16)
    ours = measure_rows(labels, image, pixel_size_um=spacing)
    names = ("label", "area", "centroid", "bbox", "intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    moved = np.moveaxis(image, 0, -1)
    theirs = regionprops_table(labels, moved, properties=names, spacing=spacing)
    assert len(theirs["label"]) == 20
    pairs = {
        "label": "label",
        "volume_um3": "area",
        **{f"centroid_{axis}_um": f"centroid-{i}" for i, axis in enumerate("zyx")},
        **{
            f"bbox_{side}_px": f"bbox-{i}" for i, side in enumerate(("front", "top", "left", "back", "bottom", "right"))
        },
        **{
            f"c{channel}_{kind}": f"intensity_{kind}-{channel}" for channel in (0, 1) for kind in ("mean", "min", "max")
        },
        **{f"c{channel}_std": f"intensity_std-{channel}" for channel in (0, 1)},
    }
    for mine, true in pairs.items():
        np.testing.assert_allclose(ours[mine], theirs[true], rtol=1e-9, atol=1e-9, err_msg=mine)
    diameters = regionprops_table(labels, properties=("equivalent_diameter_area",), spacing=spacing)
    np.testing.assert_allclose(ours["equivalent_diameter_um"], diameters["equivalent_diameter_area"])
    np.testing.assert_array_equal(ours["volume_px"], np.bincount(labels.ravel())[1:])


def test_the_axes_are_those_of_the_ellipsoid_with_the_same_moments() -> None:
    labels = blobs(SHAPE, 2, 1.5, above=0.8)
    spacing = np.array((2.0, 0.5, 0.4))
    ours = measure_rows(labels, pixel_size_um=tuple(spacing))
    for place, number in enumerate(ours["label"]):
        points = np.argwhere(labels == number) * spacing
        variances = np.linalg.eigvalsh(np.cov(points.T, bias=True).reshape(3, 3))
        found = [ours[f"{name}_axis_um"][place] for name in ("minor", "middle", "major")]
        np.testing.assert_allclose(found, np.sqrt(20 * np.maximum(variances, 0)), atol=1e-5)


def ellipsoid(half: tuple[float, ...], spacing: tuple[float, ...], shift: float = 0.3) -> NDArray[np.uint8]:
    size = [int(2 * length / step) + 5 for length, step in zip(half, spacing, strict=True)]
    grid = np.stack(np.indices(size), -1) * np.array(spacing)
    middle = (np.array(size) / 2 - shift) * np.array(spacing)
    return ((((grid - middle) / half) ** 2).sum(-1) <= 1).astype(np.uint8)


@pytest.mark.parametrize(
    ("spacing", "radius", "off"),
    [((1, 1, 1), 5, 0.02), ((1, 1, 1), 12, 0.01), ((0.5, 0.25, 0.25), 4, 0.02), ((5, 1, 1), 20, 0.03)],
)
def test_surface_and_sphericity_of_balls(spacing: tuple[float, ...], radius: float, off: float) -> None:
    columns = measure_rows(ellipsoid((radius,) * 3, spacing), pixel_size_um=spacing)
    assert columns["surface_um2"][0] == pytest.approx(4 * np.pi * radius**2, rel=off)
    assert columns["sphericity"][0] == pytest.approx(1, rel=2 * off)
    assert columns["equivalent_diameter_um"][0] == pytest.approx(2 * radius, rel=0.02)
    for name in ("major", "middle", "minor"):
        assert columns[f"{name}_axis_um"][0] == pytest.approx(2 * radius, rel=0.06)


def test_surface_of_an_ellipsoid_is_that_of_a_fine_mesh() -> None:
    half, spacing = (9.0, 16.0, 24.0), (2.0, 1.0, 1.0)
    grid = np.stack(np.indices((50, 80, 110)), -1) * 0.5 - (12.3, 20.1, 27.2)
    fine = np.sqrt(((grid / half) ** 2).sum(-1))
    mesh = marching_cubes(fine, 1.0, spacing=(0.5,) * 3)
    true = mesh_surface_area(mesh[0], mesh[1])
    columns = measure_rows(ellipsoid(half, spacing), pixel_size_um=spacing)
    assert columns["surface_um2"][0] == pytest.approx(true, rel=0.03)


def crossings_one_by_one(labels: NDArray[np.uint32], number: int, step: tuple[int, ...]) -> int:
    own = np.pad(labels == number, 1)
    moved = np.roll(own, step, axis=(0, 1, 2))
    return int((own != moved).sum())


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(*[st.integers(1, 7)] * 3), share=st.floats(0.1, 0.9), seed=st.integers(0, 999))
def test_crossings_are_counted_on_runs_as_on_voxels(size: tuple[int, ...], share: float, seed: int) -> None:
    from unetkit.objects import surface

    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 4, size) * (rng.random(size) < share)).astype(np.uint32)
    _, objects = Collector(0, size[0] * size[1], section=size[1]).add(labels)
    if objects is None:
        return
    voxel = (2.0, 1.0, 0.7)
    weights = surface._weights(voxel)
    expected = [
        sum(weights[step] * crossings_one_by_one(labels, number, step) for step in list(weights)[13:])
        for number in objects.labels
    ]
    np.testing.assert_allclose(surface_areas(objects, find_boxes(objects), voxel), expected)


@settings(max_examples=15, deadline=None)
@given(
    sigma=st.sampled_from([0.0, 0.7, 1.5]),
    depths=st.lists(st.integers(1, 5), max_size=5),
    kind=st.sampled_from(["u1", "f4"]),
    seed=st.integers(0, 99),
)
def test_sections_that_come_in_any_strips_change_no_bit(sigma: float, depths: list[int], kind: str, seed: int) -> None:
    labels = blobs((9, 14, 12), seed, sigma, above=0.5)
    image = (np.random.default_rng(seed).random((1, *labels.shape)) * 255).astype(kind)
    whole = measure_rows(labels, image)
    cut = measure_rows(labels, image, heights=depths)
    for name, column in whole.items():
        assert column.tobytes() == cut[name].tobytes(), name


def stream(labels: NDArray[np.uint32]) -> tuple[Measurements, int]:
    """Measure connected objects section by section; return the table, and when the first object was complete."""
    measurer, batches, first = Measurer(Frame(labels.shape)), [], len(labels)
    for z, section in enumerate(labels):
        for batch in measurer.add(section[None]):
            first = min(first, z)
            batches.append(batch.values)
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    order = np.argsort(columns["label"])
    return {name: column[order] for name, column in columns.items()}, first


def test_an_object_is_complete_when_a_section_passes_without_it() -> None:
    labels = label(blobs((20, 12, 12), 3, 1.0, above=1.0) > 0, generate_binary_structure(3, 3))[0].astype(np.uint32)
    found, first = stream(labels)
    whole = measure_rows(labels)
    assert first < 10
    for name, column in whole.items():
        assert column.tobytes() == found[name].tobytes(), name


def test_many_sections_that_are_pushed_at_once_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = blobs((12, 20, 20), 5, 1.5)
    whole = measure_rows(labels)
    monkeypatch.setattr(measurer_module, "MOST_PIXELS", 850)
    for name, column in measure_rows(labels).items():
        assert column.tobytes() == whole[name].tobytes(), name


def test_what_touches_a_side_of_the_volume_says_so() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[2, 2, 2] = 1
    for number, place in enumerate([(0, 2, 2), (4, 2, 2), (2, 0, 2), (2, 4, 2), (2, 2, 0), (2, 2, 4)], 2):
        labels[place] = number
    assert measure_rows(labels)["touches_border"].tolist() == [False] + [True] * 6


def test_without_the_size_of_a_voxel_lengths_are_in_voxels() -> None:
    labels = blobs((8, 12, 12), 1)
    pixels, micrometres = measure_rows(labels), measure_rows(labels, pixel_size_um=(1.0, 1.0, 1.0))
    for name in ("equivalent_diameter_px", "surface_px2", "major_axis_px", "middle_axis_px", "minor_axis_px"):
        np.testing.assert_array_equal(pixels[name], micrometres[name.replace("px", "um")])
    assert not any(name.endswith(("um", "um2", "um3")) for name in pixels)
