"""Volumes file to file: unetkit beside MONAI's sliding window with the same network, and the memory that it takes.

    python benchmarks/volume_speed.py --folder scratch --parts speed --size 256 --model runs/volumes/model.safetensors
    python benchmarks/volume_speed.py --folder scratch --parts memory --size 512 1024

Speed: all run in this process, one after the other, round after round; the first round warms up and is not counted.
MONAI has its defaults (an overlap of 0.25, constant weights) and windows of 96 voxels, as most of its tutorials; it is
given the volume as an array, read and written by tifffile. The masks are compared with one pass over the whole volume,
where that fits (--whole). Without --model the network has random weights, which take the same time, and --halo.

Memory: `unetkit segment` in a process of its own, on cubes of uint8, with a cheap network. Only the peak counts.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import tifffile
import torch
from measuring import describe_machine, measure_unetkit, print_machine, print_table
from numpy.typing import NDArray

import unetkit
from unetkit.inference.tiling.grid import per_axis
from unetkit.inference.tiling.windows import measure_plane
from unetkit.io.base.arrays import ArraySource
from unetkit.io.views.volume import VolumeSource
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.synthetic import make_nuclei

ROI, OVERLAP, MONAI_BATCH = 96, 0.25, 4
PATCH = 128
COLUMNS = ("", "Mvoxels/s", "x MONAI", "voxels that differ from one pass, in 10,000")


def write_cube(path: Path, side: int) -> None:
    """Write a cube of nuclei that repeat, plane by plane."""
    image, _ = make_nuclei((PATCH,) * 3, seed=0)
    patch = np.clip(image / np.percentile(image, 99.9) * 255, 0, 255).astype(np.uint8)
    repeats = -(-side // PATCH)
    planes = (np.tile(patch[z % PATCH], (repeats, repeats))[:side, :side] for z in range(side))
    tifffile.imwrite(path, planes, shape=(side,) * 3, dtype=np.uint8, bigtiff=True, metadata={"axes": "ZYX"})


def make_model(path: Path, depth: int, decoder: tuple[int, ...], halo: int) -> Path:
    """Write a network of volumes with random weights."""
    torch.manual_seed(0)
    spec = ModelSpec("resnet18", depth=depth, decoder_channels=decoder, dims=3, pooling=((2, 2, 2),) * depth, halo=halo)
    save_model(Segmenter(spec), path)
    return path


def normalised(pixels: NDArray[Any], segmenter: Segmenter) -> torch.Tensor:
    """Return a volume (Z, Y, X) as network input (1, 1, Z, Y, X)."""
    source = VolumeSource(ArraySource(pixels, "ZYX"))
    values = measure_plane(source, 0, [segmenter.normalizer], 1)[0]
    center, scale = (torch.from_numpy(each)[None] for each in (values.center, values.scale))
    with torch.inference_mode():
        result: torch.Tensor = segmenter.normalizer(
            torch.from_numpy(pixels.astype(np.float32))[None, None], center, scale
        )
    return result


def decide(logits: torch.Tensor, spec: ModelSpec) -> NDArray[np.uint8]:
    """Return the mask (Z, Y, X) of logits (channels, Z, Y, X)."""
    mask = logits[: spec.out_channels].argmax(0) if spec.out_channels > 1 else logits[0].sigmoid() >= spec.threshold
    return mask.to(torch.uint8).numpy() * np.uint8(1 if spec.out_channels > 1 else 255)


def monai(image: Path, segmenter: Segmenter) -> Callable[[Path], None]:
    """MONAI's sliding window over the whole volume, with its defaults."""
    from monai.inferers.utils import sliding_window_inference

    network = segmenter.network.eval()

    def run(result: Path) -> None:
        with torch.inference_mode():
            inputs = normalised(tifffile.imread(image), segmenter)
            logits = sliding_window_inference(inputs, (ROI,) * 3, MONAI_BATCH, network, overlap=OVERLAP)
        assert isinstance(logits, torch.Tensor)
        tifffile.imwrite(result, decide(logits[0], segmenter.spec), compression="zlib", compressionargs={"level": 1})

    return run


def ours(image: Path, segmenter: Segmenter, backend: str, result: Path) -> None:
    """unetkit, file to file."""
    unetkit.segment(image, result, segmenter, backend=backend, device="cpu", overwrite=True)


def one_pass(image: Path, segmenter: Segmenter) -> NDArray[np.uint8]:
    """Return the mask of a pass over the whole volume."""
    pixels = tifffile.imread(image)
    padding = [(0, -size % step) for size, step in zip(pixels.shape, segmenter.spec.strides, strict=True)]
    with torch.inference_mode():
        inputs = normalised(pixels, segmenter)
        padded = torch.from_numpy(np.pad(inputs.numpy(), [(0, 0), (0, 0), *padding], mode="reflect"))
        logits = segmenter.network.eval()(padded)[0][:, *map(slice, pixels.shape)]
    return decide(logits, segmenter.spec)


def speed(folder: Path, options: argparse.Namespace) -> None:
    """Print the table of speeds."""
    image, side = folder / "cube.tif", options.size[0]
    write_cube(image, side)
    model = options.model or make_model(folder / "model.safetensors", 4, (128, 64, 32, 16), options.halo)
    segmenter = unetkit.load_model(model)
    runs: dict[str, Callable[[Path], Any]] = {"MONAI sliding window, its defaults": monai(image, segmenter)}
    for backend in options.backends:
        runs[f"unetkit, {backend}"] = partial(ours, image, segmenter, backend)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results = {name: folder / f"mask{number}.tif" for number, name in enumerate(runs)}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            start = perf_counter()
            run(results[name])
            if number:
                seconds[name].append(perf_counter() - start)
            print(f"round {number}: {name}, {perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    truth = one_pass(image, segmenter) if options.whole else None
    first = median(seconds[next(iter(runs))])
    rows = []
    for name, times in seconds.items():
        mask = tifffile.imread(results[name])
        differs = "" if truth is None else f"{np.mean(mask != truth) * 10_000:.2g}"
        rows.append((name, f"{side**3 / median(times) / 1e6:.3f}", f"{first / median(times):.2f}", differs))
    halo = " x ".join(map(str, per_axis(segmenter.spec.halo, 3)))
    title = f"{side}^3 voxels of uint8, {segmenter.spec.encoder}, depth {segmenter.spec.depth}, halo {halo}"
    print_table(title, COLUMNS, rows, markdown=options.markdown)


def memory(folder: Path, options: argparse.Namespace) -> None:
    """Print the table of memory."""
    model = make_model(folder / "cheap.safetensors", 3, (8, 8, 8), 8)
    rows = []
    for side in options.size:
        image, mask = folder / "cube.tif", folder / "mask.tif"
        write_cube(image, side)
        words = ["segment", str(image), str(mask), "--model", str(model), "--overwrite", "--tile", "128"]
        done = measure_unetkit(*words, "--backend", options.backends[0])
        image.unlink()
        if "error" in done:
            rows.append((f"{side}^3", done["error"], "", ""))
            continue
        rows.append(
            (
                f"{side}^3",
                f"{done['peak_rss'] / 1e9:.2f}",
                f"{done['seconds']:.0f}",
                f"{side**3 / done['seconds'] / 1e6:.2f}",
            )
        )
        print(f"{rows[-1]}", file=sys.stderr, flush=True)
    print_table("Peak memory, tiles of 128 voxels", ("voxels", "GB", "s", "Mvoxels/s"), rows, markdown=options.markdown)


def main() -> None:
    """Read the command line, and run what is asked for."""
    parser = argparse.ArgumentParser(description="Speed and memory of volumes.")
    parser.add_argument("--folder", type=Path, required=True, help="where files are made")
    parser.add_argument("--parts", nargs="+", choices=["speed", "memory"], default=["speed"])
    parser.add_argument("--size", nargs="+", type=int, default=[256], help="sides of cubes, in voxels")
    parser.add_argument("--model", help="a model of volumes; by default one with random weights")
    parser.add_argument("--halo", type=int, default=16, help="halo of the model with random weights")
    parser.add_argument("--backends", nargs="+", default=["torch", "openvino", "auto"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="compare with one pass over the whole volume")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print_machine(describe_machine())
    for part in options.parts:
        {"speed": speed, "memory": memory}[part](options.folder, options)


if __name__ == "__main__":
    main()
