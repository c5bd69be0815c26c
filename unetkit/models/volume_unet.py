"""U-Nets of volumes: smp's, with an axis more. Encoder, expanding path and head keep their names."""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from unetkit.models.decoding import Factors, run_block
from unetkit.models.inflation import inflate
from unetkit.models.spec import ModelSpec


class VolumeDecoder(nn.Module):
    """The expanding path of smp's U-Net with factors of its own along each axis.

    Args:
        decoder: The expanding path, whose layers are of volumes; it shares them.
        factors: For each block, from the deepest, by how much it raises the resolution along (z, y, x).
    """

    def __init__(self, decoder: nn.Module, factors: Factors) -> None:
        super().__init__()
        self.center: nn.Module = decoder.center  # type: ignore[assignment]  # as smp's has it
        self.blocks: nn.ModuleList = decoder.blocks  # type: ignore[assignment]
        self.factors = factors

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return features of full resolution.

        Args:
            features: Those of the encoder at each resolution, the input (N, C, d, h, w) first.
        """
        skips = features[1:]
        raised: Tensor = self.center(skips.pop())
        for level in range(len(self.blocks)):
            raised = self.step(level, raised, skips.pop() if skips else None)
        return raised

    def step(self, level: int, features: Tensor, skip: Tensor | None) -> Tensor:
        """Return the features of a block, counted from the deepest, from those of the one before and the skip ones."""
        return run_block(self.blocks[level], features, skip, self.factors[level])


def build_volume_unet(flat: smp.Unet, spec: ModelSpec) -> smp.Unet:
    """Make the U-Net of volumes that a spec describes of one of planes, with random weights.

    Args:
        flat: The U-Net of planes with the same encoder, depth and channels; it is changed.
        spec: A spec with `dims` 3.
    """
    inflate(flat, spec.pooling, spec.network_inputs)
    flat.decoder = VolumeDecoder(flat.decoder, spec.pooling[::-1])
    return flat
