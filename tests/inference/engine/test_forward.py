from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from forwards import RAW, Small, Watched, make_forward
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.inference.engine.forward import Forward
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics
from unetkit.models.trimmed import Kept

Make = Callable[..., Segmenter]
WHOLE: Kept = (slice(0, 48), slice(0, 64))
INSIDE: Kept = (slice(8, 40), slice(9, 50))
with_fixtures = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def windows(dtype: DTypeLike = np.uint8, count: int = 2, size: tuple[int, int] = (48, 64)) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 60, (count, 1, *size)).astype(dtype)


def predict(forward: Forward, pixels: NDArray[Any], kept: Kept = WHOLE, models: int = 1) -> NDArray[Any]:
    return forward.submit(forward.gather(list(pixels)), [[RAW] * len(pixels)] * models, kept).result()


def plain(segmenter: Segmenter, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """What the model itself gives."""
    zeros, ones = torch.zeros(len(pixels), 1), torch.ones(len(pixels), 1)
    with torch.inference_mode():
        return segmenter(torch.from_numpy(pixels.astype(np.float32)), zeros, ones).numpy()


# What comes back


def test_probabilities_are_those_of_the_model(exact_segmenter: Make) -> None:
    for classes in (2, 4):
        segmenter = exact_segmenter(classes=classes)
        got = predict(make_forward(segmenter, kind="probabilities"), windows(), INSIDE)
        assert got.dtype == np.float32
        assert got.shape == (2, segmenter.spec.out_channels, 32, 41)
        np.testing.assert_allclose(got, plain(segmenter, windows())[:, :, INSIDE[0], INSIDE[1]], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_a_mask_is_the_thresholded_probability(exact_segmenter: Make, threshold: float) -> None:
    probabilities = predict(make_forward(exact_segmenter(), kind="probabilities"), windows())
    mask = predict(make_forward(exact_segmenter(), threshold=threshold), windows())
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.where(probabilities >= threshold, 255, 0))
    assert 0 < mask.mean() < 255


def test_a_probability_equal_to_the_threshold_is_foreground(exact_segmenter: Make) -> None:
    zeros = np.zeros((1, 1, 48, 64), np.uint8)
    assert (predict(make_forward(exact_segmenter(), threshold=0.5), zeros) == 255).all()


def test_classes_are_numbered_by_the_largest_probability(exact_segmenter: Make) -> None:
    probabilities = predict(make_forward(exact_segmenter(classes=4), kind="probabilities"), windows())
    mask = predict(make_forward(exact_segmenter(classes=4)), windows())
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask[:, 0], probabilities.argmax(1))
    assert len(np.unique(mask)) > 1


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", ">i2", "<u4", ">u4", "i8", "u8", "f2", ">f4", "f8", "g", "?"])
@pytest.mark.parametrize("augment", [False, True])
def test_every_real_dtype_is_taken(exact_segmenter: Make, dtype: str, augment: bool) -> None:
    pixels = windows(dtype)
    forward = make_forward(exact_segmenter(), kind="probabilities", augment=augment)
    np.testing.assert_array_equal(predict(forward, pixels), predict(forward, pixels.astype(np.float32)))


def test_pixels_go_to_the_device_as_they_are(exact_segmenter: Make) -> None:
    forward = make_forward(exact_segmenter())
    for dtype, expected in [("u1", torch.uint8), (">u2", torch.uint16), ("f2", torch.float32), ("i8", torch.float32)]:
        assert forward.gather(list(windows(dtype))).dtype == expected


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_windows_are_gathered_in_the_layout_of_the_model(exact_segmenter: Make, layout: torch.memory_format) -> None:
    model = Watched(exact_segmenter())
    model.memory_format = layout
    colours = np.arange(2 * 8 * 16 * 3, dtype=np.uint8).reshape(2, 8, 16, 3)  # as files have them
    batch = make_forward(exact_segmenter(), backends=[model]).gather(list(colours.transpose(0, 3, 1, 2)))
    assert batch.is_contiguous(memory_format=layout)
    np.testing.assert_array_equal(batch.numpy(), colours.transpose(0, 3, 1, 2))


def test_probabilities_stay_when_the_next_batch_is_predicted(exact_segmenter: Make) -> None:
    class Reusing(Watched):
        """A model that writes its results to the same place each time, as OpenVINO does."""

        place = torch.empty(2, 1, 48, 64)

        def __call__(self, *batch: Any) -> torch.Tensor:
            return self.place.copy_(super().__call__(*batch))

    forward = make_forward(exact_segmenter(), backends=[Reusing(exact_segmenter())], kind="probabilities")
    first = predict(forward, windows())
    kept = first.copy()
    predict(forward, windows() // 2)
    np.testing.assert_array_equal(first, kept)


def test_each_window_has_the_statistics_of_its_image(exact_segmenter: Make) -> None:
    forward = make_forward(exact_segmenter(), kind="probabilities")
    shifted = Statistics(np.full(1, 50, np.float32), np.full(1, 2, np.float32))
    batch = forward.gather(list(windows()))
    mixed, alike = (forward.submit(batch, [values], WHOLE).result() for values in ([RAW, shifted], [shifted, shifted]))
    np.testing.assert_array_equal(mixed[1], alike[1])
    np.testing.assert_array_equal(mixed[0], predict(forward, windows())[0])
    assert not np.array_equal(mixed[0], alike[0])


def test_the_model_predicts_in_evaluation_mode_and_stays_as_it_is(tiny_segmenter: Segmenter) -> None:
    before = {name: value.clone() for name, value in tiny_segmenter.state_dict().items()}
    predict(make_forward(tiny_segmenter.train()), windows())
    assert all(torch.equal(value, before[name]) for name, value in tiny_segmenter.state_dict().items())


# Several passes


def test_augmented_is_the_mean_over_flips_and_rotations(tiny_segmenter: Segmenter) -> None:
    pixels = windows().astype(np.float32) / 20
    total = np.zeros((2, 1, 48, 64))
    for flip in (False, True):
        for turns in range(4):
            turned = np.rot90(pixels[..., ::-1] if flip else pixels, turns, (2, 3))
            back = np.rot90(plain(tiny_segmenter, turned.copy()), -turns, (2, 3))
            total += back[..., ::-1] if flip else back
    for kept in (WHOLE, INSIDE, (slice(0, 1), slice(60, 64))):
        got = predict(make_forward(tiny_segmenter, kind="probabilities", augment=True), pixels, kept)
        np.testing.assert_allclose(got, total[:, :, kept[0], kept[1]] / 8, atol=1e-5)
    assert np.abs(total / 8 - plain(tiny_segmenter, pixels)).max() > 1e-3


def test_several_models_are_their_mean_each_with_its_own_statistics(exact_segmenter: Make) -> None:
    first, second = exact_segmenter(), exact_segmenter(stride=2)
    halved = Statistics(np.full(1, 3, np.float32), np.full(1, 2, np.float32))
    forward = make_forward(first, second, kind="probabilities")
    got = forward.submit(forward.gather(list(windows())), [[RAW, RAW], [halved, halved]], INSIDE).result()
    expected = (plain(first, windows()) + plain(second, (windows().astype(np.float32) - 3) / 2)) / 2
    np.testing.assert_allclose(got, expected[:, :, INSIDE[0], INSIDE[1]], rtol=1e-6, atol=1e-7)


def test_the_mask_of_several_models_is_that_of_their_mean(exact_segmenter: Make) -> None:
    models = [exact_segmenter(classes=3), exact_segmenter(classes=3, stride=2)]
    probabilities = predict(make_forward(*models, kind="probabilities", augment=True), windows(), models=2)
    mask = predict(make_forward(*models, augment=True), windows(), models=2)
    np.testing.assert_array_equal(mask[:, 0], probabilities.argmax(1))


def test_a_result_stays_when_the_next_batch_is_predicted(exact_segmenter: Make) -> None:
    """Backends may use the memory of their output again."""

    class Reusing(Watched):
        output: torch.Tensor | None = None

        def __call__(self, *arguments: Any) -> torch.Tensor:
            predicted = super().__call__(*arguments)
            self.output = torch.empty_like(predicted) if self.output is None else self.output
            return self.output.copy_(predicted)

    segmenter = exact_segmenter()
    forward = make_forward(segmenter, backends=[Reusing(segmenter)], kind="probabilities")
    first = predict(forward, windows())
    before = first.copy()
    predict(forward, windows()[:, :, ::-1])
    np.testing.assert_array_equal(first, before)


# Out of memory


@st.composite
def kept_parts(draw: st.DrawFn) -> Kept:
    """Parts of 48 x 64, at its border or with a halo of 8."""
    rows = slice(draw(st.sampled_from([0, 8])), draw(st.sampled_from([40, 48])))
    return rows, slice(draw(st.sampled_from([0, 8])), draw(st.sampled_from([56, 64])))


@with_fixtures
@given(kept=kept_parts(), largest=st.integers(24 * 24, 2 * 48 * 64), count=st.integers(1, 5), augment=st.booleans())
def test_out_of_memory_changes_nothing_but_the_sizes(
    exact_segmenter: Make, kept: Kept, largest: int, count: int, augment: bool
) -> None:
    """The exact network sees 6 pixels far, less than the halo of 8: every way to divide gives the same.

    Only the last bit of a sigmoid depends on whether a vector instruction computed it.
    """
    segmenter = exact_segmenter(stride=2)
    pixels = windows(count=count)
    whole = predict(make_forward(segmenter, kind="probabilities", augment=augment), pixels, kept)
    small = Small(segmenter, largest)
    forward = make_forward(segmenter, backends=[small], kind="probabilities", augment=augment)
    np.testing.assert_array_max_ulp(predict(forward, pixels, kept), whole, 2)
    assert all(side % 8 == 0 for shape in small.shapes for side in shape[2:])


def test_a_unet_divided_for_lack_of_memory_differs_by_what_the_halo_leaves(tiny_segmenter: Segmenter) -> None:
    pixels = windows(np.float32, count=1, size=(192, 192)) / 60
    kept = (slice(0, 192), slice(0, 192))
    whole = predict(make_forward(tiny_segmenter, kind="probabilities"), pixels, kept)
    errors = []
    for halo in (8, 64):
        forward = make_forward(
            tiny_segmenter, backends=[Small(tiny_segmenter, 176 * 176)], kind="probabilities", halo=halo
        )
        errors.append(np.abs(predict(forward, pixels, kept) - whole).max())
    assert errors[1] < 1e-3 < errors[0], errors


def test_first_the_batch_is_halved_then_the_window(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    small = Small(segmenter, 48 * 64 - 1)
    predict(make_forward(segmenter, backends=[small]), windows(count=4))
    assert [shape[0] for shape in small.shapes[:3]] == [4, 2, 1]
    assert {shape[2:] for shape in small.shapes[3:]} == {(48, 40)}


def test_it_is_told_once_and_later_batches_begin_with_what_fitted(exact_segmenter: Make) -> None:
    told: list[str] = []
    segmenter = exact_segmenter()
    small = Small(segmenter, 2 * 48 * 64)
    forward = make_forward(segmenter, backends=[small], log=told.append)
    for _ in range(3):
        predict(forward, windows(count=4))
    assert [shape[0] for shape in small.shapes] == [4, 2, 2, 2, 2, 2, 2]
    assert len(told) == 1
    assert "out of memory" in told[0]


def test_memory_that_gets_scarcer_is_followed(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    small = Small(segmenter, 2 * 48 * 64)
    forward = make_forward(segmenter, backends=[small])
    whole = predict(forward, windows(count=4))
    small.largest = 48 * 64
    np.testing.assert_array_equal(predict(forward, windows(count=4)), whole)
    assert small.shapes[-1][0] == 1


def test_the_other_side_is_divided_where_the_halo_takes_all_of_the_longer(exact_segmenter: Make) -> None:
    """More rows are kept than columns, but a part of the rows needs, with its halo, all of them."""
    segmenter = exact_segmenter()
    kept = (slice(8, 24), slice(28, 40))
    pixels = windows(count=1, size=(32, 64))
    whole = predict(make_forward(segmenter, halo=16), pixels, kept)
    small = Small(segmenter, 32 * 64 - 1)
    np.testing.assert_array_equal(predict(make_forward(segmenter, backends=[small], halo=16), pixels, kept), whole)


@pytest.mark.parametrize("kept", [WHOLE, INSIDE, (slice(3, 4), slice(5, 6))])
def test_too_little_memory_for_the_smallest_window_is_an_error_with_a_remedy(exact_segmenter: Make, kept: Kept) -> None:
    segmenter = exact_segmenter()
    forward = make_forward(segmenter, backends=[Small(segmenter, 0)])
    with pytest.raises(ConfigError, match="memory of cpu is too small") as caught:
        predict(forward, windows(), kept)
    assert "--device cpu" in caught.value.remedy


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal access"), MemoryError(), ValueError("x")])
def test_other_errors_pass_through(exact_segmenter: Make, error: Exception) -> None:
    def fail(pixels: torch.Tensor) -> None:
        raise error

    segmenter = exact_segmenter()
    watched = Watched(segmenter, fail)
    with pytest.raises(type(error)) as caught:
        predict(make_forward(segmenter, backends=[watched]), windows())
    assert caught.value is error
    assert len(watched.shapes) == 1


@pytest.mark.parametrize(
    ("precision", "remedy"), [("fp32", "its weights or the values of the image"), ("fp16", "use --precision fp32")]
)
@pytest.mark.parametrize("kind", ["mask", "probabilities"])
def test_a_prediction_that_is_nan_is_an_error(
    exact_segmenter: Callable[..., Segmenter], kind: Any, precision: Any, remedy: str
) -> None:
    forward = make_forward(exact_segmenter(), kind=kind, name="cells", precision=precision)
    window = np.zeros((1, 16, 16), np.float32)
    kept = (slice(0, 16), slice(0, 16))
    forward.submit(forward.gather([window]), [[RAW]], kept).result()
    window[0, 5, 6] = np.nan
    with pytest.raises(ModelError, match=f"cells predicted NaN in {precision}") as caught:
        forward.submit(forward.gather([window]), [[RAW]], kept).result()
    assert remedy.lower() in caught.value.remedy.lower()
