from __future__ import annotations

from math import log

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn.functional import one_hot

from unetkit.data.annotated import UNKNOWN
from unetkit.foundation.errors import ConfigError
from unetkit.training.segmentation.losses import LOSSES, POSITIONAL, MaskAndDistanceLoss, OfAnnotated, build_loss


def target_and_logits(out_channels: int, *, right: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """A target with every class, and logits that are sure of it, or of something else."""
    classes = max(2, out_channels)
    target = (torch.arange(2 * 16 * 16) % classes).reshape(2, 16, 16)
    said = target if right else (target + 1) % classes
    if out_channels == 1:
        return target, 16.0 * said[:, None] - 8
    return target, 16.0 * one_hot(said, classes).movedim(-1, 1) - 8


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_near_zero_for_the_truth_and_larger_for_what_is_wrong(name: str, out_channels: int) -> None:
    loss = build_loss(name, out_channels)
    right, wrong = (
        loss(logits, target)
        for target, logits in (target_and_logits(out_channels, right=right) for right in (True, False))
    )
    assert right.shape == ()
    assert 0 <= right < 0.02
    assert wrong > right + 0.5


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_even_for_sure_and_wrong_predictions_and_empty_masks(
    name: str, out_channels: int, empty: bool
) -> None:
    target, logits = target_and_logits(out_channels, right=False)
    logits = (logits * 10).requires_grad_()
    build_loss(name, out_channels)(logits, torch.zeros_like(target) if empty else target).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_tversky_weighs_misses_more_than_false_alarms() -> None:
    loss = build_loss("tversky", 1)
    target = torch.zeros(1, 8, 8, dtype=torch.int64)
    target[:, :4] = 1
    missing, excessive = torch.full((1, 1, 8, 8), -20.0), torch.full((1, 1, 8, 8), -20.0)
    missing[:, :, :2], excessive[:, :, :6] = 20, 20
    # By hand: TP / (TP + 0.3 FP + 0.7 FN), with 16 pixels missed or 16 too many.
    assert float(loss(missing, target)) == pytest.approx(1 - 16 / (16 + 0.7 * 16), abs=1e-4)
    assert float(loss(excessive, target)) == pytest.approx(1 - 32 / (32 + 0.3 * 16), abs=1e-4)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_weighted_cross_entropy_counts_pixels_by_their_weight(out_channels: int) -> None:
    target, _ = target_and_logits(out_channels, right=True)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, out_channels, 16, 16, generator=generator)
    weight = torch.rand(2, 16, 16, generator=generator) * 10
    truth = logits.sigmoid() if out_channels == 1 else logits.softmax(1)
    chances = torch.cat([1 - truth, truth], 1) if out_channels == 1 else truth
    expected = -(weight * chances.gather(1, target[:, None])[:, 0].log()).mean()
    loss = build_loss("weighted_bce", out_channels)
    torch.testing.assert_close(loss(logits, target, weight), expected)
    torch.testing.assert_close(loss(logits, target), build_loss("bce", out_channels)(logits, target))


def test_bce_dice_is_the_sum_of_its_parts() -> None:
    target, _ = target_and_logits(1, right=True)
    logits = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    parts = [build_loss(name, 1)(logits, target) for name in ("bce", "dice")]
    assert torch.isclose(build_loss("bce_dice", 1)(logits, target), sum(parts, torch.zeros(())))


def test_an_unknown_loss_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"no loss 'dise'\. Did you mean 'dice'\?"):
        build_loss("dise", 1)


def test_heights_of_objects_and_of_the_background_count_the_same_whatever_their_shares() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 16, 16, generator=generator)
    height = torch.rand(2, 16, 16, generator=generator)
    target, _ = target_and_logits(1, right=True)
    mask_loss = build_loss("bce_dice", 1)
    predicted = logits[:, 1].sigmoid()
    entropy = -(height * predicted.log() + (1 - height) * (1 - predicted).log())
    expected = mask_loss(logits[:, :1], target) + 0.3 * (entropy[target > 0].mean() + entropy[target == 0].mean())
    torch.testing.assert_close(MaskAndDistanceLoss(mask_loss, 0.3)(logits, height, target), expected)


def test_heights_without_any_object_are_those_of_the_background() -> None:
    logits, nothing = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4)
    loss = MaskAndDistanceLoss(build_loss("bce", 1), 1.0)(logits, nothing, nothing.long())
    assert torch.isclose(loss, torch.tensor(2 * log(2)))


# Images that are annotated in part

PLACELESS = sorted(LOSSES.keys() - POSITIONAL)


def partly(name: str, out_channels: int) -> OfAnnotated:
    loss = OfAnnotated(build_loss(name, out_channels))
    loss.partly = True
    return loss


def strokes(out_channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, a target with `UNKNOWN` in three quarters of the pixels, and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, out_channels, 16, 16, generator=generator)
    target = torch.randint(0, max(2, out_channels), (2, 16, 16), generator=generator)
    target[torch.rand(2, 16, 16, generator=generator) < 0.75] = UNKNOWN
    return logits, target, torch.rand(2, 16, 16, generator=generator) * 5


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", PLACELESS)
def test_no_loss_sees_what_nobody_has_annotated_and_no_gradient_comes_from_there(name: str, out_channels: int) -> None:
    logits, target, weight = strokes(out_channels)
    others = [weight] if name == "weighted_bce" else []
    unknown = target == UNKNOWN
    values, gradients = [], []
    for replaced in (0.0, -50.0, 1e4, float("nan")):
        changed = torch.where(unknown[:, None], replaced, logits).requires_grad_()
        loss = partly(name, out_channels)(changed, target, *(torch.where(unknown, replaced, each) for each in others))
        loss.backward()
        assert changed.grad is not None
        values.append(loss.detach())
        gradients.append(changed.grad)
    assert values[0] > 0.1
    for value, gradient in zip(values, gradients, strict=True):
        assert torch.equal(value, values[0])
        assert torch.equal(gradient, gradients[0])
        assert (gradient.movedim(1, -1)[unknown] == 0).all()
        assert (gradient.movedim(1, -1)[~unknown] != 0).any()


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", PLACELESS)
def test_a_loss_of_some_pixels_is_that_of_an_image_of_these_pixels(name: str, out_channels: int) -> None:
    """The annotated pixels lie in one half; the loss is that of the half alone."""
    logits, target, _ = strokes(out_channels)
    target = target.clamp(min=0)
    half = torch.cat([target[:, :8], torch.full_like(target[:, 8:], UNKNOWN)], dim=1)
    expected = build_loss(name, out_channels)(logits[:, :, :8], target[:, :8])
    torch.testing.assert_close(partly(name, out_channels)(logits, half), expected)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_losses_of_some_pixels_agree_with_those_of_smp(out_channels: int) -> None:
    logits, target, _ = strokes(out_channels)
    mode = "binary" if out_channels == 1 else "multiclass"
    others = {
        "dice": smp.losses.DiceLoss(mode, ignore_index=UNKNOWN),
        "focal": smp.losses.FocalLoss(mode, ignore_index=UNKNOWN),
        "tversky": smp.losses.TverskyLoss(mode, ignore_index=UNKNOWN, alpha=0.3, beta=0.7),
        "lovasz": smp.losses.LovaszLoss(mode, ignore_index=UNKNOWN),
    }
    for name, theirs in others.items():
        torch.testing.assert_close(partly(name, out_channels)(logits, target), theirs(logits, target))
    if out_channels > 1:
        theirs = torch.nn.CrossEntropyLoss(ignore_index=UNKNOWN)
        torch.testing.assert_close(partly("bce", out_channels)(logits, target), theirs(logits, target))


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", PLACELESS)
def test_a_batch_without_annotation_changes_nothing(name: str, out_channels: int) -> None:
    """Its loss is 0, and its gradient 0 and not missing, so that several devices can take the mean of theirs."""
    logits, target, weight = strokes(out_channels)
    logits.requires_grad_()
    others = [weight] if name == "weighted_bce" else []
    loss = partly(name, out_channels)(logits, torch.full_like(target, UNKNOWN), *others)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", PLACELESS)
def test_images_that_are_annotated_everywhere_have_the_loss_that_they_always_had(name: str) -> None:
    logits, target, _ = strokes(1)
    target = target.clamp(min=0)
    assert torch.equal(OfAnnotated(build_loss(name, 1))(logits, target), build_loss(name, 1)(logits, target))


def test_no_distance_counts_that_is_not_known() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target, _ = strokes(2)
    height = torch.where(target > 0, torch.rand(2, 16, 16, generator=generator), 0)
    height = torch.where((target == UNKNOWN) | (torch.rand(2, 16, 16, generator=generator) < 0.3), UNKNOWN, height)
    known = height != UNKNOWN
    predicted = logits[:, 1].sigmoid()
    entropy = -(height * predicted.log() + (1 - height) * (1 - predicted).log())
    mask_loss = partly("bce", 1)
    expected = mask_loss(logits[:, :1], target)
    expected = expected + sum(entropy[known & part].mean() for part in (target > 0, target == 0))
    values = []
    for replaced in (0.0, 1e4, float("nan")):
        changed = torch.where(known, logits[:, 1], replaced).requires_grad_()
        loss = MaskAndDistanceLoss(mask_loss, 1.0)(torch.stack([logits[:, 0], changed], 1), height, target)
        loss.backward()
        torch.testing.assert_close(loss, expected)
        assert changed.grad is not None
        assert (changed.grad[~known] == 0).all()
        values.append(loss.detach())
    assert all(torch.equal(value, values[0]) for value in values)


def test_a_batch_without_any_known_distance_changes_nothing() -> None:
    logits = torch.randn(1, 2, 4, 4).requires_grad_()
    unknown = torch.full((1, 4, 4), UNKNOWN)
    loss = MaskAndDistanceLoss(partly("bce_dice", 1), 1.0)(logits, unknown.float(), unknown)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", PLACELESS)
def test_the_loss_of_volumes_is_that_of_their_voxels_in_any_shape(name: str, out_channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, out_channels, 4, 6, 5, generator=generator).contiguous(memory_format=torch.channels_last_3d)
    target = torch.randint(0, max(2, out_channels), (2, 4, 6, 5), generator=generator)
    target[:, 0] = UNKNOWN
    loss = OfAnnotated(build_loss(name, out_channels))
    loss.partly = True
    flat = loss(logits.reshape(2, out_channels, 4, 30), target.reshape(2, 4, 30))
    torch.testing.assert_close(loss(logits, target), flat)
    both = MaskAndDistanceLoss(loss, 0.5)
    distance = torch.rand(2, 4, 6, 5, generator=generator)
    more = torch.cat([logits, torch.randn(2, 1, 4, 6, 5, generator=generator)], 1)
    expected = both(more.reshape(2, -1, 4, 30), distance.reshape(2, 4, 30), target.reshape(2, 4, 30))
    torch.testing.assert_close(both(more, distance, target), expected)
