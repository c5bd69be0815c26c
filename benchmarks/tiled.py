"""Compare tiled inference file to file: unetkit with each backend, MONAI's sliding window, pytorch-toolbelt's merger.

    pip install -e .[benchmarks]                 (without it unetkit runs alone)
    python benchmarks/mosaic.py FOLDER mosaic --size 8192
    python benchmarks/tiled.py --model runs/nuclei-r18/model.safetensors --mosaic mosaic/image.tif --crop 4096

Each contestant first runs in a process of its own, for its peak memory; one that fails there is left out. Then all run
in this process, one after the other, round after round; the first round warms up and is not counted. Beside each run of
unetkit stands its bare pass: the network alone over the very same batches of tiles, in memory. The masks are compared
with an fp32 pass over the whole image, or, where that does not fit, with tiles that have a far larger halo. At last the
engine's ceiling: a network that costs nothing, with the halo that it needs (none) and with the model's. On a GPU the
same, with bfloat16 (autocast for the others).
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import peers
import tifffile
import torch
from measuring import describe_machine, measure_process, print_machine, print_table, report
from ours import CEILING_INPUTS, Setting, bare_pass, free_segmenter, installed_settings, segment_file, synchronise

from unetkit import load_model
from unetkit.inference.tuning.device import choose_device
from unetkit.io.files import open_image
from unetkit.models.model_file import read_spec
from unetkit.models.spec import ModelSpec

REFERENCE = "reference"
CEILING_SETTINGS = ("backend=torch,tile=1024,halo=0", "backend=torch,tile=1024")
"""Settings of unetkit for the ceiling. A backend is named, or each run would also time the backends."""

BAND = 1024
"""Rows of two masks that are compared at a time."""


@dataclass
class Contestant:
    """One way from an image file to a mask file, and what was measured of it.

    Attributes:
        name: What the table calls it.
        make: Loads the model and what else is needed; returns a function that writes the mask.
        bare: Returns a function that runs the bare pass and returns its seconds.
        first: Seconds of the first run in this process: backends that compile do it there.
        seconds: Of each counted run.
        bare_seconds: Of each bare pass.
        facts: Of the run in a process of its own: peak memory, seconds ("cold"), or why it failed; of the last mask:
            agreement.
    """

    name: str
    make: Callable[[], Callable[[Path], Any]]
    bare: Callable[[], Callable[[], float]] | None = None
    first: float = 0.0
    seconds: list[float] = field(default_factory=list)
    bare_seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Return the reference and all contestants that were asked for. Nothing is loaded yet."""
    device = choose_device(options.device)
    image, model = options.mosaic, options.model

    def job(precision: str) -> peers.Job:
        return peers.Job(image, load_model(model, device), device, precision)

    def peer(make: Callable[[peers.Job, int], Callable[[Path], None]], batch: int) -> Callable[[Path], None]:
        return make(job(options.peer_precision or ("bf16" if device.type == "cuda" else "fp32")), batch)

    def ours(setting: Setting) -> Contestant:
        def make() -> Callable[[Path], None]:
            segmenter = load_model(model)
            return lambda result: segment_file(image, result, segmenter, setting, device)

        def bare() -> Callable[[], float]:
            segmenter = load_model(model)
            return lambda: bare_pass(image, segmenter, setting, device)

        return Contestant(setting.name, make, bare)

    gpu = device.type == "cuda"
    settings = dict.fromkeys([*installed_settings(device), *map(Setting.parse, options.setting)])
    everyone = [Contestant(REFERENCE, lambda: peers.reference(job("fp32")))]
    if find_spec("monai"):
        for batch in options.monai_batch or ([4] if gpu else [1, 4]):
            everyone.append(Contestant(f"MONAI, batch {batch}", partial(peer, peers.monai, batch)))
    if find_spec("pytorch_toolbelt"):
        for batch in options.toolbelt_batch or ([8] if gpu else [1, 8]):
            everyone.append(Contestant(f"pytorch-toolbelt, batch {batch}", partial(peer, peers.toolbelt, batch)))
    everyone += map(ours, settings)
    wanted = [REFERENCE, *options.only] if options.only else ["*"]
    return [one for one in everyone if any(fnmatch(one.name, pattern) for pattern in wanted)]


def timed(run: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that `run` takes, the device's work included."""
    synchronise(device)
    start = perf_counter()
    run()
    synchronise(device)
    return perf_counter() - start


def run_worker(options: argparse.Namespace) -> None:
    """In a process of its own: run one contestant once and report its peak memory."""
    contestant = next(one for one in contestants(options) if one.name == options.worker)
    run = contestant.make()
    start = perf_counter()
    said = run(mask_path(contestant, options))
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    report({"cold": perf_counter() - start, "cuda": torch.cuda.max_memory_reserved() if cuda else None, "said": said})


def run_alone(contestant: Contestant, options: argparse.Namespace) -> None:
    """Run a contestant in a process of its own, for its peak memory."""
    command = [sys.executable, __file__, *options.given, "--worker", contestant.name]
    contestant.facts |= measure_process([*command, "--mosaic", str(options.mosaic), "--folder", str(options.folder)])
    said = contestant.facts.get("error") or f"{contestant.facts['cold']:.2f} s"
    print(f"alone: {contestant.name}, {said}", file=sys.stderr, flush=True)


def run_rounds(entries: list[Contestant], options: argparse.Namespace) -> None:
    """Run all contestants in turn, round after round, each with its bare pass; the first round is not counted."""
    device = choose_device(options.device)
    runs = [(one, one.make(), one.bare() if one.bare else None) for one in entries]
    for number in range(options.rounds + 1):
        for one, run, bare in runs:
            seconds = timed(partial(run, mask_path(one, options)), device)
            bare_seconds = bare() if bare else None
            print(f"round {number}: {one.name}, {seconds:.2f} s", file=sys.stderr, flush=True)
            if not number:
                one.first = seconds
                continue
            one.seconds.append(seconds)
            if bare_seconds is not None:
                one.bare_seconds.append(bare_seconds)


def mask_path(contestant: Contestant, options: argparse.Namespace) -> Path:
    """Return where a contestant's mask goes."""
    return Path(options.folder) / f"{contestant.name.replace(', ', '-').replace(' ', '-')}.tif"


def compare(mask: Path, other: Path) -> tuple[float, float]:
    """Return the share of pixels at which two masks differ, and the Dice of their foregrounds."""
    differs = both = either = count = 0
    with closing(open_image(mask)) as a, closing(open_image(other)) as b:
        for top in range(0, a.info.height, BAND):
            window = (slice(top, min(top + BAND, a.info.height)), slice(0, a.info.width))
            x, y = a.read(0, window), b.read(0, window)
            differs += int(np.count_nonzero(x != y))
            both += int(np.count_nonzero((x > 0) & (y > 0)))
            either += int(np.count_nonzero(x) + np.count_nonzero(y))
            count += x.size
    return differs / count, 2 * both / max(either, 1)


def show(entries: list[Contestant], pixels: int, title: str, markdown: bool) -> None:
    """Print the table of all contestants; ratios are to the faster of MONAI's."""
    monai = min((median(one.seconds) for one in entries if one.seconds and one.name.startswith("MONAI")), default=None)
    columns = "contestant, s, min-max, first, Mpx/s, x MONAI, / bare pass, peak GB, GPU GB, differs, Dice"
    rows = []
    for one in entries:
        facts = one.facts
        if not one.seconds:
            continue
        seconds = median(one.seconds)
        rows.append(
            [
                one.name,
                f"{seconds:.2f}",
                f"{min(one.seconds):.2f}-{max(one.seconds):.2f}",
                f"{one.first:.2f}",
                f"{pixels / seconds / 1e6:.2f}",
                f"{monai / seconds:.2f}" if monai else "",
                f"{seconds / median(one.bare_seconds):.3f}" if one.bare_seconds else "",
                f"{facts['peak_rss'] / 1e9:.2f}" if "peak_rss" in facts else "",
                f"{facts['cuda'] / 1e9:.2f}" if facts.get("cuda") else "",
                f"{facts['differs']:.1e}" if "differs" in facts else "",
                f"{facts['dice']:.4f}" if "dice" in facts else "",
            ]
        )
    print_table(title, columns.split(", "), rows, markdown=markdown)
    for one in entries:
        if "error" in one.facts:
            print(f"{one.name} failed: {one.facts['error']}")


def measure_ceiling(options: argparse.Namespace, spec: ModelSpec) -> list[dict[str, Any]]:
    """Measure the engine with a network that costs nothing, on files that repeat a part of the mosaic."""
    device = choose_device(options.device)
    patch = np.atleast_3d(tifffile.imread(options.mosaic)[:2048, :2048])
    patch = np.repeat(patch, 3, 2) if patch.shape[2] == 1 else patch
    patch = np.pad(patch, [(0, -length % 512) for length in patch.shape[:2]] + [(0, 0)], mode="wrap")
    source, result = options.folder / "ceiling.tif", options.folder / "ceiling-mask.tif"
    measured = []
    for kind in CEILING_INPUTS:
        kind.write(source, patch, options.ceiling)
        for setting in map(Setting.parse, options.ceiling_setting or CEILING_SETTINGS):
            run = partial(segment_file, source, result, free_segmenter(spec, kind.channels), setting, device)
            seconds = [timed(run, device) for _ in range(options.rounds + 1)][1:]
            rate = options.ceiling**2 / median(seconds) / 1e6
            halo = spec.halo if setting.halo is None else setting.halo
            measured.append({"name": kind.name, "tile": setting.tile, "halo": halo, "seconds": seconds, "mpx_s": rate})
        source.unlink()
        result.unlink()
    return measured


def cut(path: Path, size: int, result: Path) -> Path:
    """Write the upper left corner of an image."""
    with closing(open_image(path)) as source:
        rows, columns = slice(0, min(size, source.info.height)), slice(0, min(size, source.info.width))
        pixels = np.ascontiguousarray(source.read(0, (rows, columns)).transpose(1, 2, 0))
    tifffile.imwrite(result, pixels[..., 0] if pixels.shape[2] == 1 else pixels, tile=(512, 512), compression="zlib")
    return result


def parse(args: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a trained model.safetensors")
    parser.add_argument("--mosaic", type=Path, required=True, help="image, see mosaic.py; grey or RGB, one plane")
    parser.add_argument("--truth", type=Path, help="its true mask, for the Dice")
    parser.add_argument("--crop", type=int, help="use only the upper left corner of this height and width in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="threads of PyTorch, for all contestants")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="contestants, such as 'unetkit*'")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="KEY=VALUE,...", help="also unetkit with these options"
    )
    parser.add_argument("--monai-batch", type=int, action="append", help="its sw_batch_size")
    parser.add_argument("--toolbelt-batch", type=int, action="append")
    parser.add_argument(
        "--peer-precision", choices=("fp32", "bf16"), help="by default bf16 autocast on CUDA, else fp32"
    )
    parser.add_argument("--ceiling", type=int, default=8192, help="size of the files for the ceiling, 0 for none")
    parser.add_argument(
        "--ceiling-setting",
        action="append",
        default=[],
        metavar="KEY=VALUE,...",
        help=f"unetkit's options there, by default {' and '.join(CEILING_SETTINGS)}",
    )
    parser.add_argument("--no-memory", action="store_true", help="leave the runs in processes of their own out")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder, deleted at the end")
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args(args)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print everything that was asked for; return it for the JSON file."""
    machine = describe_machine()
    print_machine(machine)
    everyone = contestants(options)
    with closing(open_image(options.mosaic)) as source:
        height, width = source.info.height, source.info.width
    for one in everyone:
        if one.name == REFERENCE or not options.no_memory:
            run_alone(one, options)
    truth, entries = everyone[0], everyone[1:]
    able = [one for one in entries if "error" not in one.facts]
    run_rounds(able, options)
    for one in able:
        if "error" not in truth.facts:
            one.facts["differs"] = compare(mask_path(one, options), mask_path(truth, options))[0]
        if options.truth:
            one.facts["dice"] = compare(mask_path(one, options), options.truth)[1]
    against = truth.facts.get("said") or f"nothing, because it failed ({truth.facts['error']})"
    title = f"{height} x {width} pixels, file to file; masks compared with {against}"
    show(entries, height * width, title, options.markdown)
    ceiling = measure_ceiling(options, read_spec(options.model)) if options.ceiling else []
    if ceiling:
        rows = []
        for run in ceiling:
            numbers = (run["tile"] or "auto", run["halo"], f"{median(run['seconds']):.2f}", f"{run['mpx_s']:.0f}")
            rows.append([run["name"], *map(str, numbers)])
        title = f"Engine's ceiling: a network that costs nothing, {options.ceiling} x {options.ceiling} pixels"
        print_table(title, ["input", "tile", "halo", "s", "Mpx/s"], rows, markdown=options.markdown)
    measured = [
        {"name": one.name, "first": one.first, "seconds": one.seconds, "bare_seconds": one.bare_seconds, **one.facts}
        for one in everyone
    ]
    return {"machine": machine, "height": height, "width": width, "contestants": measured, "ceiling": ceiling}


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(args)
    options.given = sys.argv[1:] if args is None else args
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.worker:
        run_worker(options)
        return
    with TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        options.folder.mkdir(parents=True, exist_ok=True)
        if options.crop:
            options.mosaic = cut(options.mosaic, options.crop, options.folder / "image.tif")
            options.truth = options.truth and cut(options.truth, options.crop, options.folder / "truth.tif")
        measured = measure(options)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
