"""The U-Net of 2015, without an encoder from elsewhere (Ronneberger et al., https://arxiv.org/abs/1505.04597)."""

from __future__ import annotations

from itertools import pairwise

import torch
from segmentation_models_pytorch.base import SegmentationModel
from torch import Tensor, nn

from unetkit.models.spec import ModelSpec, Padding

DEEPEST_DROPOUT = 0.5
"""Share of the deepest features that is dropped in training, "at the end of the contracting path"."""


def build_plain_unet(spec: ModelSpec) -> PlainUnet:
    """Build the network that a spec describes, with random weights."""
    return PlainUnet(
        spec.network_inputs,
        spec.network_channels,
        depth=spec.depth,
        base_channels=spec.base_channels,
        padding=spec.padding,
        batch_norm=spec.batch_norm,
    )


class PlainUnet(SegmentationModel):  # type: ignore[misc]  # smp has no types
    """3 x 3 convolutions and ReLU in pairs, 2 x 2 max pooling, 2 x 2 up-convolutions, skips that are concatenated.

    With padding "valid" no convolution sees zeros. A window is then extended by reflection, as the paper does at the
    border of an image, by as much as the convolutions take away. So the output has the size of the window. A pixel that
    is at least `margin`, rounded up to the stride, away from a side depends on nothing beyond that side.

    Args:
        in_channels: Channels of the input.
        classes: Channels of the output.
        depth: Number of times that the resolution is halved; 4 in the paper.
        base_channels: Channels of the first convolutions, doubled at each halving; 64 in the paper.
        padding: "valid" as in the paper (572 x 572 pixels in, 388 x 388 out, see `predict_inside`), or "same".
        batch_norm: Whether each convolution is followed by batch norm, which the paper does not have.
    """

    requires_divisible_input_shape = False

    def __init__(
        self, in_channels: int, classes: int, *, depth: int, base_channels: int, padding: Padding, batch_norm: bool
    ) -> None:
        super().__init__()
        channels = [base_channels << level for level in range(depth + 1)]
        pad = 1 if padding == "same" else 0
        self.margin = (6 << depth) - 4 if padding == "valid" else 0
        self.encoder = _ContractingPath(in_channels, channels, pad, batch_norm)
        self.decoder = _ExpandingPath(channels[::-1], pad, batch_norm)
        self.segmentation_head = nn.Conv2d(base_channels, classes, 1)
        self.classification_head = None
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):  # the paper's: deviation sqrt(2 / N)
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Predict whole windows.

        Args:
            pixels: (N, in_channels, h, w) normalised; h and w are multiples of 2 ** depth.

        Returns:
            Logits (N, classes, h, w).
        """
        if not self.margin:
            return self._logits(pixels)
        height, width = pixels.shape[2:]
        rows, columns = (_reflected(length, self.margin, pixels.device) for length in (height, width))
        return self._logits(pixels[:, :, rows][:, :, :, columns])[:, :, :height, :width]

    def predict_inside(self, pixels: Tensor) -> Tensor:
        """Predict the part of windows that is seen without padding: all of it unless padding is "valid".

        Args:
            pixels: (N, in_channels, h, w) normalised; h and w are multiples of 2 ** depth, and more than twice
                `margin` + 4. The outermost 2 pixels are not seen: of 576 those 572 of the paper are.

        Returns:
            Logits (N, classes, h - 2 * `margin` - 4, w - 2 * `margin` - 4) of the centre.
        """
        return self._logits(pixels[:, :, 2:-2, 2:-2] if self.margin else pixels)

    def _logits(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(pixels)))
        return logits


class _ContractingPath(nn.Module):
    """Features at every resolution, the input first."""

    def __init__(self, in_channels: int, channels: list[int], pad: int, batch_norm: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _convolutions(before, after, pad, batch_norm)
            for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(DEEPEST_DROPOUT)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        features = [pixels]
        for level, block in enumerate(self.blocks):
            features.append(block(self.pool(features[-1]) if level else pixels))
        features[-1] = self.dropout(features[-1])
        return features


class _ExpandingPath(nn.Module):
    """From the deepest features up, with the skip features cut to the size of the deeper ones."""

    def __init__(self, channels: list[int], pad: int, batch_norm: bool) -> None:
        super().__init__()
        steps = list(pairwise(channels))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in steps)
        self.blocks = nn.ModuleList(_convolutions(2 * above, above, pad, batch_norm) for _, above in steps)

    def forward(self, features: list[Tensor]) -> Tensor:
        _, *skips, result = features
        for up, block, skip in zip(self.ups, self.blocks, reversed(skips), strict=True):
            raised = up(result)
            top, left = ((skip.shape[axis] - raised.shape[axis]) // 2 for axis in (2, 3))
            seen = skip[:, :, top : top + raised.shape[2], left : left + raised.shape[3]]
            result = block(torch.cat([seen, raised], dim=1))
        return result


def _convolutions(before: int, after: int, pad: int, batch_norm: bool) -> nn.Sequential:
    """Two convolutions, each with ReLU behind it."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers.append(nn.Conv2d(channels, after, 3, padding=pad, bias=not batch_norm))
        layers += [nn.BatchNorm2d(after) for _ in range(batch_norm)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _reflected(length: int, margin: int, device: torch.device) -> Tensor:
    """Return which pixels of an axis stand for those from `margin` before its first to `margin` + 4 behind its last.

    So many make sizes that halve without rest, the first pixel being that of the output. Reflected again and again
    where the axis is shorter than the margin.
    """
    period = 2 * length - 2
    places = torch.arange(-margin, length + margin + 4, device=device) % period
    return torch.minimum(places, period - places)
