from __future__ import annotations

import pytest
import torch
from skimage.morphology import skeletonize
from torch import Tensor

from unetkit.training.segmentation.center_lines import CenterLineDice, soft_cl_dice, soft_skeleton


def line(width: int = 5, gap: int = 0) -> Tensor:
    """Return a line (1, 24, 48) across an image, with a gap in its middle."""
    image = torch.zeros(1, 24, 48)
    image[:, 10 : 10 + width] = 1
    if gap:
        image[:, :, 24 : 24 + gap] = 0
    return image


def logits_of(foreground: Tensor) -> Tensor:
    return (foreground * 16 - 8)[:, None]


def test_the_skeleton_of_a_line_is_thin_and_lies_where_that_of_scikit_image_does() -> None:
    found = soft_skeleton(line())[0].numpy() > 0.5
    reference = skeletonize(line()[0].numpy() > 0)
    assert (found[12] == reference[12])[4:-4].all()
    assert found[:, 4:-4].sum(0).max() == 1


def test_a_line_beyond_the_steps_has_no_skeleton() -> None:
    assert soft_skeleton(torch.ones(1, 40, 40), steps=3)[:, 8:-8, 8:-8].sum() == 0


@pytest.mark.parametrize("membranes", [True, False])
def test_the_thin_side_counts_whichever_it_is(membranes: bool) -> None:
    """The same gap in a line costs the same where the line is the foreground and where it is the background."""
    true, predicted = line(), line(gap=4)
    if membranes:
        true, predicted = 1 - true, 1 - predicted
    loss = CenterLineDice()(logits_of(predicted), true.long())
    assert float(loss) == pytest.approx(1 - float(soft_cl_dice(line(gap=4), line())), abs=2e-3)
    assert loss > 0.03


def test_a_gap_costs_more_than_a_line_that_is_thinner_all_along() -> None:
    """Both lack the same pixels of the line, which Dice takes for equally bad."""
    gap, thin = line(5, gap=10), line()
    thin[:, 10] = 0
    missing = (line() - gap).sum()
    assert missing >= (line() - thin).sum()
    assert soft_cl_dice(thin, line()) > 0.97 > soft_cl_dice(gap, line()) + 0.05


def test_of_several_classes_all_but_the_background_count() -> None:
    target = torch.zeros(1, 24, 48, dtype=torch.int64)
    target[:, 4:8], target[:, 14:18] = 1, 2
    logits = 16.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1) - 8
    assert CenterLineDice()(logits, target) < 0.01
    logits[:, 2, :, 20:30] = -8
    broken = CenterLineDice()(logits, target)
    logits[:, 1, :, 20:30] = -8
    assert CenterLineDice()(logits, target) > broken + 0.03 > 0.05


def test_planes_of_a_volume_have_lines_too() -> None:
    volume = torch.zeros(1, 12, 12, 32)
    volume[:, 4:7, 4:7] = 1
    broken = volume.clone()
    broken[..., 14:18] = 0
    assert soft_cl_dice(volume, volume) > 0.99
    assert soft_cl_dice(broken, volume) < 0.95


def test_the_gradient_closes_a_gap() -> None:
    logits = logits_of(line(gap=4)) / 8
    logits.requires_grad_()
    CenterLineDice()(logits, line().long()).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 12, 24:28].max() < 0
