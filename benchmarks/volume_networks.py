"""Networks of volumes: the inflated U-Net of unetkit beside MONAI's FlexibleUNet and DynUNet.

    python benchmarks/volume_networks.py ../shared/data/volumes/mni --seconds 150

Each trains for the same seconds of the processor (of the clock on a GPU) with the same crops, loss and optimizer, from
random weights: background, grey and white matter of a T1 image, on the lower planes. Dice is measured on a block of the
upper planes, in one window that all networks see whole. Then a step of training and the prediction of that window are
timed, the fastest of some rounds, by the same clock. Of the code, lines that are neither empty nor a comment count; of
MONAI those of the network's own modules.
"""

import argparse
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import torch
from measuring import describe_machine, print_machine, print_table
from monai.networks.blocks import dynunet_block
from monai.networks.nets import dynunet, flexible_unet, resnet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FlexibleUNet
from torch import Tensor, nn

from unetkit.models import adapting, decoding, inflation, pooling, volume_unet
from unetkit.models.architectures import DECODER_CHANNELS
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.training.segmentation.losses import build_loss

CLASSES, DEPTH, BATCH = 3, 4, 2
TRAINED, TESTED = slice(30, 100), (slice(110, 174), slice(60, 156), slice(50, 146))
COLUMNS = (
    "network",
    "weights (million)",
    "steps",
    "Dice grey",
    "Dice white",
    "training step (s)",
    "window (s)",
    "lines",
)


def inflated(encoder: str) -> nn.Module:
    """Return unetkit's network, for voxels that are cubes."""
    cubes = pooling.pooling_for((1, 1, 1), DEPTH)
    channels = DECODER_CHANNELS[-DEPTH:]
    return build_network(
        ModelSpec(encoder, classes=CLASSES, depth=DEPTH, decoder_channels=channels, dims=3, pooling=cubes)
    )


def flexible(encoder: str) -> nn.Module:
    """Return MONAI's U-Net on an encoder, whose depth is fixed."""
    network: nn.Module = FlexibleUNet(1, CLASSES, encoder, spatial_dims=3)
    return network


def dynamic() -> nn.Module:
    """Return MONAI's nnU-Net, with its usual channels and instance norm."""
    filters = [32, 64, 128, 256, 320][: DEPTH + 1]
    strides = [1] + [2] * DEPTH
    network: nn.Module = DynUNet(3, 1, CLASSES, [3] * (DEPTH + 1), strides, strides[1:], filters=filters)
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[ModuleType, ...]]] = {
    "inflated resnet18": (partial(inflated, "resnet18"), (inflation, pooling, decoding, volume_unet, adapting)),
    "inflated resnet50": (partial(inflated, "resnet50"), (inflation, pooling, decoding, volume_unet, adapting)),
    "FlexibleUNet resnet18": (partial(flexible, "resnet18"), (flexible_unet, resnet)),
    "FlexibleUNet resnet50": (partial(flexible, "resnet50"), (flexible_unet, resnet)),
    "DynUNet": (dynamic, (dynunet, dynunet_block)),
}
"""How each network is built, and the modules that its code is."""


def read_tissue(folder: Path) -> tuple[Tensor, Tensor]:
    """Return intensities from 0 to 1 and classes (z, y, x) of the template."""

    def read(name: str) -> Any:
        return np.asarray(nibabel.Nifti1Image.from_filename(folder / f"{name}.nii.gz").dataobj, np.float32).T

    t1, grey, white = map(read, ("t1", "gm", "wm"))
    classes = np.argmax([255 - grey - white, grey, white], axis=0)
    return torch.from_numpy(t1 / 255), torch.from_numpy(classes)


def train(network: nn.Module, pixels: Tensor, classes: Tensor, crop: int, seconds: float) -> int:
    """Train for some seconds on random crops of the lower planes; return the number of steps."""
    now, step, generator = clock(pixels.device), make_step(network), np.random.default_rng(0)
    start, steps = now(), 0
    while now() - start < seconds:
        step(*cut(pixels[TRAINED], classes[TRAINED], crop, generator))
        steps += 1
    return steps


def clock(device: torch.device) -> Callable[[], float]:
    """Return what tells the time in seconds: of the processor, so that other programs have little effect, or a GPU."""
    if device.type == "cpu":
        return process_time

    def now() -> float:
        torch.cuda.synchronize(device)
        return perf_counter()

    return now


def fastest(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the seconds of the fastest of some rounds, after one that does not count."""
    now, seconds = clock(device), []
    for _ in range(rounds + 1):
        start = now()
        work()
        seconds.append(now() - start)
    return min(seconds[1:])


def cut(pixels: Tensor, classes: Tensor, crop: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch of crops, each with its middle in the brain, flipped from left to right by chance."""
    places = [generator.integers(0, np.array(pixels.shape) - crop) for _ in range(64 * BATCH)]
    inside = [place for place in places if classes[tuple(place + crop // 2)] > 0][:BATCH]
    windows = [tuple(slice(int(start), int(start) + crop) for start in place) for place in inside]
    flips = [(2,) if generator.random() < 0.5 else () for _ in windows]
    images, masks = (
        torch.stack([image[window].flip(flip) for window, flip in zip(windows, flips, strict=True)])
        for image in (pixels, classes)
    )
    return images[:, None], masks


def make_step(network: nn.Module) -> Callable[[Tensor, Tensor], None]:
    """Return a step of training."""
    network.train()
    loss, optimizer = build_loss("bce_dice", CLASSES), torch.optim.AdamW(network.parameters(), 1e-3)

    def step(images: Tensor, masks: Tensor) -> None:
        optimizer.zero_grad()
        loss(network(images), masks).backward()
        optimizer.step()

    return step


def dice(network: nn.Module, pixels: Tensor, classes: Tensor) -> list[float]:
    """Return the Dice of grey and of white matter in the tested block, which is one window."""
    with torch.inference_mode():
        predicted = network.eval()(pixels[TESTED][None, None]).argmax(1)[0]
    truth = classes[TESTED]
    found = [((predicted == one), (truth == one)) for one in (1, 2)]
    return [float(2 * (mask & true).sum() / (mask.sum() + true.sum())) for mask, true in found]


def count_lines(modules: tuple[ModuleType, ...]) -> int:
    """Return the lines of some modules that are neither empty nor a comment."""
    lines = [line.strip() for module in modules for line in inspect.getsource(module).splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def measure(name: str, pixels: Tensor, classes: Tensor, options: argparse.Namespace) -> tuple[str, ...]:
    """Return the row of a network."""
    build, modules = NETWORKS[name]
    torch.manual_seed(0)
    network = build().to(pixels.device).to(memory_format=torch.channels_last_3d)
    weights = sum(one.numel() for one in network.parameters()) / 1e6
    steps = train(network, pixels, classes, options.crop, options.seconds)
    grey, white = dice(network, pixels, classes)
    step, batch = make_step(network), cut(pixels[TRAINED], classes[TRAINED], options.crop, np.random.default_rng(1))
    trained = fastest(lambda: step(*batch), pixels.device, options.rounds)
    predicted = fastest(lambda: dice(network, pixels, classes), pixels.device, options.rounds)
    figures = (f"{weights:.1f}", str(steps), f"{grey:.3f}", f"{white:.3f}", f"{trained:.2f}", f"{predicted:.2f}")
    return (name, *figures, str(count_lines(modules)))


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="t1.nii.gz, gm.nii.gz and wm.nii.gz")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=150.0, help="time to train each")
    parser.add_argument("--crop", type=int, default=32, help="side of a crop in voxels, a multiple of 32")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the fastest counts")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args(args)
    print_machine(describe_machine())
    pixels, classes = (one.to(options.device) for one in read_tissue(options.folder))
    rows: list[tuple[Any, ...]] = []
    for name in options.networks:
        rows.append(measure(name, pixels, classes, options))
        print(" | ".join(rows[-1]), flush=True)
    print_table("Networks of volumes", COLUMNS, rows, markdown=True)


if __name__ == "__main__":
    main()
