"""The engine on items of three axes: tiled, divided, turned, resumed and damaged as in two."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from forwards import RAW, Small, make_forward
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from volumes import VolumeSource, volume

from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.forward import Forward, Kind
from unetkit.inference.engine.pipeline import Reader, run_tiles
from unetkit.inference.tiling.grid import PerAxis, make_grid
from unetkit.inference.tiling.windows import measure_plane, read_window
from unetkit.io.base.contracts import BadTile
from unetkit.models.normalization import Normalization
from unetkit.models.normalizer import Normalizer
from unetkit.models.sampling import ValidSource
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
Strides = tuple[int, int, int]
STRIDES: list[Strides] = [(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 4, 4)]
with_fixtures = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make_reader(
    segmenter: Segmenter, source: Any, *, tile: PerAxis, halo: PerAxis, stride: PerAxis = 1, batch: int = 2
) -> Reader:
    grid = make_grid(source.info.size, tile=tile, halo=halo, stride=stride)
    blocks = [grid.whole(item) for item in range(source.info.planes)]
    channels = segmenter.spec.in_channels
    measure = partial(measure_plane, source, normalizers=[segmenter.normalizer], channels=channels)
    return Reader(source, blocks, measure, channels, batch)


def bands_of(reader: Reader, forward: Forward, **choices: Any) -> list[NDArray[Any]]:
    bands: list[NDArray[Any]] = []
    run_tiles(reader, forward, bands.extend, **choices)
    return bands


def predict(reader: Reader, forward: Forward) -> NDArray[Any]:
    """Return (items, channels, *size)."""
    whole = np.concatenate(bands_of(reader, forward), axis=1)
    return whole.reshape(forward.channels, -1, *reader.blocks[0].grid.size).swapaxes(0, 1)


# Tiled is the same as whole


@with_fixtures
@given(
    size=st.one_of(
        st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(1, 30)),
        st.sampled_from([(1, 1, 1), (1, 30, 2), (12, 1, 30), (3, 17, 16)]),
    ),
    stride=st.sampled_from(STRIDES),
    core=st.tuples(*[st.integers(1, 4)] * 3),
    batch=st.integers(1, 5),
    kind=st.sampled_from(["mask", "probabilities", "heights"]),
    augment=st.booleans(),
)
def test_tiled_is_the_whole_pass_bit_by_bit(
    exact_segmenter: Make,
    size: tuple[int, int, int],
    stride: Strides,
    core: tuple[int, int, int],
    batch: int,
    kind: Kind,
    augment: bool,
) -> None:
    """The network sees less far than the halo, which is another one along each axis.

    Only the last bits of a probability depend on whether a vector instruction computed the sigmoid.
    """
    segmenter = exact_segmenter(stride=stride, instances=kind == "heights")
    source = VolumeSource(volume(2, 1, *size))
    halo = tuple(4 * one for one in stride)
    tile = tuple(2 * beside + n * one for beside, n, one in zip(halo, core, stride, strict=True))
    forward = make_forward(segmenter, kind=kind, halo=halo, stride=stride, augment=augment)
    whole = make_reader(segmenter, source, tile=32, halo=0, stride=stride, batch=1)
    tiled = make_reader(segmenter, source, tile=tile, halo=halo, stride=stride, batch=batch)
    assert len(whole.blocks[0].grid) == 1
    got, expected = predict(tiled, forward), predict(whole, forward)
    if kind == "probabilities":
        np.testing.assert_array_max_ulp(got, expected, 8)
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("stride", STRIDES)
def test_many_tiles_along_every_axis_are_the_whole_pass(exact_segmenter: Make, stride: Strides) -> None:
    segmenter = exact_segmenter(stride=stride, classes=3)
    source = VolumeSource(volume(1, 1, *(13 * one - one // 2 for one in stride)))
    halo = tuple(4 * one for one in stride)
    forward = make_forward(segmenter, kind="mask", halo=halo, stride=stride)
    tiled = make_reader(segmenter, source, tile=tuple(10 * one for one in stride), halo=halo, stride=stride, batch=4)
    whole = make_reader(segmenter, source, tile=64, halo=0, stride=stride)
    assert all(len(spans) > 2 for spans in tiled.blocks[0].grid.spans)
    got = predict(tiled, forward)
    np.testing.assert_array_equal(got, predict(whole, forward))
    assert len(np.unique(got)) > 1


def test_a_whole_pass_is_the_network_on_the_volume(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 2, 2))
    pixels = volume(2, 1, 5, 12, 14)
    with torch.inference_mode():
        expected = segmenter.network(torch.from_numpy(pixels).float()).sigmoid().numpy()
    reader = make_reader(segmenter, VolumeSource(pixels), tile=16, halo=0, stride=(1, 2, 2))
    np.testing.assert_allclose(
        predict(reader, make_forward(segmenter, kind="probabilities")), expected, rtol=1e-6, atol=1e-7
    )


def test_a_network_with_batch_norm_runs_as_it_is(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 1, 1)).eval()
    segmenter.network = torch.nn.Sequential(torch.nn.Conv3d(1, 1, 3, padding=1), torch.nn.BatchNorm3d(1)).eval()
    segmenter.network[1].running_mean.fill_(0.5)
    pixels = volume(1, 1, 4, 6, 8)
    with torch.inference_mode():
        expected = segmenter.network(torch.from_numpy(pixels).float()).sigmoid().numpy()
    reader = make_reader(segmenter, VolumeSource(pixels), tile=8, halo=0)
    np.testing.assert_allclose(
        predict(reader, make_forward(segmenter, kind="probabilities")), expected, rtol=1e-5, atol=1e-7
    )


def test_windows_beyond_the_volume_are_filled_by_reflection() -> None:
    pixels = volume(1, 1, 3, 5, 9)
    grid = make_grid((3, 5, 9), tile=32, halo=0, stride=(4, 4, 8))
    window = read_window(VolumeSource(pixels), 0, next(iter(grid)), grid, 2)
    places = [np.pad(np.arange(n), (0, -n % stride), mode="reflect") for n, stride in ((3, 4), (5, 4), (9, 8))]
    assert window.shape == (2, 4, 8, 16)
    np.testing.assert_array_equal(window[1], pixels[0, 0][np.ix_(*places)])


# Bands


@pytest.mark.parametrize("first_band", [1, 3, 4])
def test_a_resumed_run_gives_the_bands_that_are_missing(exact_segmenter: Make, first_band: int) -> None:
    segmenter = exact_segmenter(stride=(1, 1, 1))
    reader = make_reader(segmenter, VolumeSource(volume(2, 1, 20, 16, 18)), tile=12, halo=3)
    forward = make_forward(segmenter)
    whole, rest = (bands_of(reader, forward, first_band=first) for first in (0, first_band))
    assert [band.shape for band in whole] == [
        (1, span.core_stop - span.core_start, 16, 18) for span in reader.blocks[0].grid.bands
    ] * 2
    assert len(whole) > first_band
    for one, other in zip(whole[first_band:], rest, strict=True):
        np.testing.assert_array_equal(one, other)


def test_progress_counts_every_pixel_once(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 1, 1))
    done: list[int] = []
    reader = make_reader(segmenter, VolumeSource(volume(2, 1, 20, 16, 18)), tile=14, halo=3)
    bands_of(reader, make_forward(segmenter), progress=done.append)
    assert sum(done) == 2 * 20 * 16 * 18


def test_what_could_not_be_decoded_is_background(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 1, 1))
    source = VolumeSource(volume(2, 1, 20, 16, 18))
    reader, forward = make_reader(segmenter, source, tile=14, halo=3), make_forward(segmenter, kind="probabilities")
    expected = predict(reader, forward)
    bad = BadTile(1, (3, 2, 5), (12, 6, 7))
    assert len([span for span in reader.blocks[0].grid.bands if span.core_start < 15 and span.core_stop > 3]) > 1
    source.bad_tiles = [bad]
    expected[1, :, *bad.window] = 0
    np.testing.assert_array_equal(predict(reader, forward), expected)


def test_what_holds_no_data_is_background_and_left_out_of_the_statistics(exact_segmenter: Make) -> None:
    """NaN around a volume: before, behind, and at one side."""
    pixels = (volume(1, 1, 20, 24, 26) + np.uint8(40)).astype(np.float32)
    framed = np.full_like(pixels, np.nan)
    framed[..., 2:18, 5:, :20] = pixels[..., 2:18, 5:, :20]
    segmenter = exact_segmenter(stride=(1, 1, 1))
    source = ValidSource(VolumeSource(framed))
    holes = source.read_with_holes(0, tuple(slice(0, n) for n in source.info.size))[1]
    assert holes is not None
    np.testing.assert_array_equal(holes, np.isnan(framed[0, 0]))
    (measured,) = measure_plane(source, 0, [Normalizer(Normalization("mean_std"))], 1)
    inside = framed[~np.isnan(framed)]
    np.testing.assert_allclose([measured.center[0], measured.scale[0]], [inside.mean(), inside.std()], rtol=1e-6)
    reader, forward = make_reader(segmenter, source, tile=16, halo=4), make_forward(segmenter, kind="probabilities")
    got = predict(reader, forward)
    assert (got[0, 0][holes] == 0).all()
    assert (got[0, 0][~holes] > 0).all()


# Memory and orientations


@with_fixtures
@given(
    stride=st.sampled_from(STRIDES[:3]),
    largest=st.integers(16 * 18 * 18, 16 * 24 * 24),
    border=st.tuples(*[st.booleans()] * 3),
    augment=st.booleans(),
)
def test_out_of_memory_changes_nothing_but_the_sizes(
    exact_segmenter: Make, stride: Strides, largest: int, border: tuple[bool, bool, bool], augment: bool
) -> None:
    segmenter = exact_segmenter(stride=stride)
    pixels = volume(2, 1, 16, 24, 24)
    halo = tuple(3 * one for one in stride)
    kept = tuple(
        slice(0 if at_border else beside, n)
        for at_border, beside, n in zip(border, halo, pixels.shape[2:], strict=True)
    )
    results = []
    small = Small(segmenter, largest)
    for backends in (None, [small]):
        choices = {"halo": halo, "stride": stride, "kind": "mask", "augment": augment}
        forward = make_forward(segmenter, backends=backends, **choices)
        results.append(forward.submit(forward.gather(list(pixels)), [[RAW] * 2], kept).result())
    np.testing.assert_array_equal(*results)
    assert len(small.shapes) > 2
    for shape in small.shapes:
        assert all(length % one == 0 for length, one in zip(shape[2:], stride, strict=True))


def test_the_longest_axis_is_divided_first(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 1, 1))
    small = Small(segmenter, 8 * 10 * 24 - 1)
    forward = make_forward(segmenter, backends=[small], halo=2, stride=(1, 2, 2))
    kept = tuple(slice(0, n) for n in (8, 10, 24))
    forward.submit(forward.gather(list(volume(1, 1, 8, 10, 24))), [[RAW]], kept).result()
    assert small.shapes[1:] == [(1, 1, 8, 10, 14)] * 2


def test_too_little_memory_names_the_size_of_the_volume(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 1, 1))
    forward = make_forward(segmenter, backends=[Small(segmenter, 0)], halo=8, stride=8)
    kept = tuple(slice(0, 8) for _ in range(3))
    with pytest.raises(ConfigError, match="too small for 8 x 8 x 8 pixels"):
        forward.submit(forward.gather(list(volume(1, 1, 8, 8, 8))), [[RAW]], kept)


def test_augmented_is_the_mean_over_flips_and_turns_within_slices(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(stride=(1, 2, 2))
    pixels = volume(2, 1, 6, 8, 10).astype(np.float32)
    total = np.zeros(pixels.shape)
    for upside_down in (False, True):
        for flip in (False, True):
            for turns in range(4):
                turned = pixels[:, :, ::-1] if upside_down else pixels
                turned = np.rot90(turned[..., ::-1] if flip else turned, turns, (3, 4))
                with torch.inference_mode():
                    predicted = segmenter.network(torch.from_numpy(turned.copy())).sigmoid().numpy()
                back = np.rot90(predicted, -turns, (3, 4))
                back = back[..., ::-1] if flip else back
                total += back[:, :, ::-1] if upside_down else back
    forward = make_forward(segmenter, kind="probabilities", augment=True)
    kept = (slice(1, 6), slice(0, 7), slice(3, 4))
    got = forward.submit(forward.gather(list(pixels)), [[RAW] * 2], kept).result()
    np.testing.assert_allclose(got, total[:, :, *kept] / 16, atol=1e-6)
