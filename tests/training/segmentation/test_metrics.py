from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.segmentation import dice_score, mean_iou

from unetkit.data.annotated import UNKNOWN
from unetkit.training.segmentation.metrics import SegmentationScores


def random_masks(images: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(images + classes)
    predicted, truth = torch.randint(0, classes, (2, images, 24, 20), generator=generator)
    return predicted, truth


def scores_of(predicted: torch.Tensor, truth: torch.Tensor, classes: int) -> dict[str, float]:
    scores = SegmentationScores(classes)
    for one, other in zip(predicted, truth, strict=True):
        scores.update(one, other)
    return {name: float(value) for name, value in scores.compute().items()}


@pytest.mark.parametrize("classes", [2, 4])
def test_means_over_images_agree_with_torchmetrics(classes: int) -> None:
    predicted, truth = random_masks(3, classes)
    scores = scores_of(predicted, truth, classes)
    options = {"num_classes": classes, "include_background": False, "input_format": "index"}
    dice = dice_score(predicted, truth, average="macro", **options)
    iou = mean_iou(predicted, truth, **options)
    assert scores["dice"] == pytest.approx(float(dice.mean()), abs=1e-6)
    assert scores["iou"] == pytest.approx(float(iou.mean()), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_pooled_scores_agree_with_torchmetrics_on_one_long_image(classes: int) -> None:
    predicted, truth = random_masks(3, classes)
    scores = scores_of(predicted, truth, classes)
    options = {"num_classes": classes, "include_background": False, "input_format": "index"}
    long = predicted.reshape(1, -1, 20), truth.reshape(1, -1, 20)
    assert scores["pooled_dice"] == pytest.approx(float(dice_score(*long, average="macro", **options)), abs=1e-6)
    assert scores["pooled_iou"] == pytest.approx(float(mean_iou(*long, **options)), abs=1e-6)


def test_images_of_different_sizes_weigh_the_same_in_the_mean_and_by_their_pixels_in_the_pool() -> None:
    small, large = torch.tensor([[1, 0]]), torch.ones(10, 10, dtype=torch.int64)
    scores = SegmentationScores(2)
    scores.update(torch.tensor([[0, 1]]), small)  # nothing right: TP 0, FP 1, FN 1
    scores.update(large, large)  # TP 100
    computed = scores.compute()
    assert float(computed["dice"]) == 0.5
    assert float(computed["pooled_dice"]) == pytest.approx(200 / 202)
    assert float(computed["pooled_iou"]) == pytest.approx(100 / 102)


def test_an_empty_mask_scores_one_if_nothing_is_predicted_and_zero_otherwise() -> None:
    empty, something = torch.zeros(4, 4, dtype=torch.int64), torch.eye(4, dtype=torch.int64)
    assert scores_of(empty[None], empty[None], 2)["dice"] == 1
    assert scores_of(something[None], empty[None], 2)["dice"] == 0
    assert scores_of(empty[None], something[None], 2)["iou"] == 0


def test_a_class_that_is_nowhere_scores_one() -> None:
    truth = torch.tensor([[[0, 1], [1, 0]]])
    assert scores_of(truth, truth, 3)["dice"] == 1
    wrong = scores_of(1 - truth, truth, 3)
    assert wrong["dice"] == 0.5  # class 1 all wrong, class 2 absent from both


def test_reset_forgets() -> None:
    scores = SegmentationScores(2)
    mask = torch.eye(4, dtype=torch.int64)
    scores.update(1 - mask, mask)
    scores.reset()
    scores.update(mask, mask)
    assert float(scores.compute()["dice"]) == 1


@pytest.mark.parametrize("classes", [2, 4])
def test_what_nobody_has_annotated_is_not_scored(classes: int) -> None:
    predicted, truth = random_masks(3, classes)
    unknown = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    partly = torch.where(unknown, UNKNOWN, truth)
    scores = scores_of(predicted, partly, classes)
    assert scores == scores_of(torch.where(unknown, (predicted + 1) % classes, predicted), partly, classes)
    kept = [
        (one[~hidden][None], other[~hidden][None]) for one, other, hidden in zip(predicted, truth, unknown, strict=True)
    ]
    expected = SegmentationScores(classes)
    for one, other in kept:
        expected.update(one, other)
    assert scores == {name: float(value) for name, value in expected.compute().items()}


def test_a_volume_is_scored_as_its_voxels_in_a_plane() -> None:
    predicted, truth = torch.randint(0, 3, (2, 4, 6, 5), generator=torch.Generator().manual_seed(0))
    truth[0] = UNKNOWN
    volume, plane = (
        scores_of(predicted.reshape(shape), truth.reshape(shape), 3) for shape in ((1, 4, 6, 5), (1, 24, 5))
    )
    assert volume == plane
