"""What each network costs: weights, arithmetic, training and inference, with random weights.

    python benchmarks/encoders.py --encoders resnet18 resnet50 plain_unet --markdown

Training: forward, backward and a step of AdamW on batches of 4 grey crops of 256 x 256, in the precision that `unetkit
fit` would take. Inference: PyTorch with folded batch norm, in full precision, on one grey tile of 512 x 512, all of
which is kept: a halo costs on top. Of each the fastest round counts.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Final

import torch
from measuring import describe_machine, print_machine, print_table
from torch.utils.flop_counter import FlopCounterMode

from unetkit.backends.torch import TorchBackend
from unetkit.models.encoders import ENCODERS
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.training.segmentation.losses import build_loss

PLAIN: Final = "plain_unet"
CROP, BATCH, TILE = 256, 4, 512
COLUMNS = ("network", "weights (million)", "GFLOP/Mpx", "training (images/s)", "inference (Mpx/s)")


def make_spec(name: str) -> ModelSpec:
    """Return the spec of a network: an encoder with the default decoder, or the plain U-Net of the paper's size."""
    return ModelSpec(arch=PLAIN, depth=4) if name == PLAIN else ModelSpec(encoder=name)


def count_flops(spec: ModelSpec) -> float:
    """Return the floating point operations (two for each product that is added) for each pixel, forward."""
    with torch.device("meta"):
        network = Segmenter(spec).network.eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.inference_mode():
            network(torch.empty(1, spec.in_channels, TILE, TILE))
    return counter.get_total_flops() / TILE**2


def training_speed(segmenter: Segmenter, device: torch.device, rounds: int) -> float:
    """Return the crops that are trained on in a second."""
    network = segmenter.network.to(device).to(memory_format=torch.channels_last).train()
    loss = build_loss("bce_dice", segmenter.spec.out_channels)
    optimizer = torch.optim.AdamW(network.parameters())
    pixels = torch.rand(BATCH, segmenter.spec.in_channels, CROP, CROP, device=device)
    target = (pixels[:, 0] > 0.5).long()

    def step() -> None:
        optimizer.zero_grad()
        with autocast(device):
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
        loss(logits.float(), target).backward()
        optimizer.step()

    return BATCH / fastest(step, device, rounds)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute in bfloat16 where the device is made for it, as `unetkit fit` does."""
    able = torch.cpu.get_capabilities()
    if device.type == "cuda" or (device.type == "cpu" and (able.get("avx512_bf16") or able.get("amx_bf16"))):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def inference_speed(segmenter: Segmenter, device: torch.device, rounds: int) -> float:
    """Return the megapixels that are predicted in a second."""
    channels = segmenter.spec.in_channels
    backend = TorchBackend(segmenter, device, "fp32", owned=True)
    pixels = torch.randint(0, 255, (1, channels, TILE, TILE), dtype=torch.uint8, device=device)
    center, scale = torch.zeros(1, channels, device=device), torch.full((1, channels), 255.0, device=device)
    kept = (slice(0, TILE), slice(0, TILE))
    return TILE**2 / 1e6 / fastest(lambda: backend(pixels, center, scale, kept), device, rounds)


def fastest(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the seconds of the fastest of some rounds, after one that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        start = perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(perf_counter() - start)
    return min(seconds[1:])


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*ENCODERS, PLAIN]
    parser.add_argument("--encoders", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the fastest counts")
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    options = parser.parse_args(args)
    print_machine(describe_machine())
    rows = []
    for name in options.encoders:
        spec = make_spec(name)
        segmenter = Segmenter(spec)
        weights = sum(parameter.numel() for parameter in segmenter.network.parameters())
        trained = training_speed(segmenter, options.device, options.rounds)
        predicted = inference_speed(segmenter, options.device, options.rounds)
        figures = (weights / 1e6, count_flops(spec) / 1e3, trained, predicted)
        rows.append((name, *(f"{value:.{digits}f}" for value, digits in zip(figures, (1, 0, 2, 2), strict=True))))
        print(" ".join(rows[-1]), flush=True)
    print_table("Networks", COLUMNS, rows, markdown=options.markdown)


if __name__ == "__main__":
    main()
