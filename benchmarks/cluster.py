"""`segment --cluster` on one machine: what it costs, what it gains, what a killed worker costs, and others beside it.

    python benchmarks/cluster.py --markdown
    python benchmarks/cluster.py --parts commands steady --backends torch auto --images nuclei/test/images

Parts:

- commands: whole processes from the command line. Plain `segment`, one worker, two workers, in turn, round after round;
  each worker has one thread, and so has plain `segment`. The files must be the same to the byte.
- steady: the rate between the first and the last block, with workers that run and models that are loaded.
- recovery: seconds that are lost where one of two workers is killed in mid-block, and whether the bytes are the same.
- scheduling: see `scheduling.py`.
- labels: see `label_peers.py`.

Ratios are those of one round; their median is shown, and the smallest and the largest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Timer
from time import perf_counter
from typing import Any

import numpy as np
import scheduling
import tifffile
import torch
from distributed import Client, LocalCluster
from measuring import describe_machine, print_machine, print_table, write_repeated

import unetkit
from unetkit.foundation.synthetic import make_cells
from unetkit.io.files import find_images, open_image

ONE_THREAD = """
import sys, dask.system
dask.system.CPU_COUNT = int(sys.argv.pop(1))
from unetkit.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""`unetkit` on a machine that seems to have so many cores: `local:N` shares them, so each worker gets one thread."""

PLAIN, ONE, TWO = "plain", "1 worker", "2 workers"

WAYS: dict[str, int] = {PLAIN: 0, ONE: 1, TWO: 2}
"""Number of workers of each way."""

PATCH = 1024
"""Height and width of the synthetic cells that a large image repeats."""

KILLED_AT = 0.3
"""Share of the pixels after which a worker is killed."""

MID_BLOCK_SECONDS = 0.5
"""Time from the end of a block to the death of a worker."""


@dataclass(frozen=True)
class Case:
    """A thing to be segmented.

    Attributes:
        name: What the tables call it.
        image: An image, or a folder of them.
        result: Name of the output.
        options: More options of `segment`.
    """

    name: str
    image: Path
    result: str
    options: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        """Pixels of all its images."""
        images = find_images(self.image) if self.image.is_dir() else [self.image]
        return sum(_pixels(image) for image in images)


@dataclass
class Curve:
    """Pixels that were done, over time.

    Attributes:
        points: Seconds, and the pixels that were done by then.
        total: Pixels of all images.
        watch: Called with the share of the pixels that is done.
    """

    points: list[tuple[float, int]] = field(default_factory=list)
    total: int = 0
    watch: Callable[[float], None] = lambda _: None

    def begin(self, name: str, pixels: int) -> Callable[[int], None]:  # noqa: ARG002
        """Take the start of an image; see `unetkit.segment`."""
        self.total += pixels
        return self.advance

    def advance(self, pixels: int) -> None:
        """Take what was done."""
        done = pixels + (self.points[-1][1] if self.points else 0)
        self.points.append((perf_counter(), done))
        self.watch(done / self.total)

    @property
    def rate(self) -> float:
        """Pixels in a second: the slope of the line that fits best from the first to the last of the work."""
        seconds, pixels = np.array(self.points).T
        return float(np.polyfit(seconds - seconds[0], pixels, 1)[0])


def _pixels(image: Path) -> int:
    source = open_image(image)
    source.close()
    return source.info.pixels


def cases(options: argparse.Namespace, folder: Path) -> list[Case]:
    """Write what is segmented where it is not there."""
    large = folder / "large.tif"
    patch = (make_cells(PATCH, PATCH, seed=0)[0] / 257).astype(np.uint8)
    write_repeated(large, patch, options.size, compression="zlib")
    images = options.images
    if images is None:
        images = folder / "small"
        images.mkdir()
        rng = np.random.default_rng(0)
        for number in range(options.count):
            height, width = rng.integers(256, 700, 2).tolist()
            pixels = make_cells(height, width, seed=number)[0]
            tifffile.imwrite(images / f"cells_{number:03}.tif", (pixels / 257).astype(np.uint8))
    return [
        Case("large image, mask to OME-Zarr", large, "mask.zarr"),
        Case("large image, labels to TIFF", large, "labels.tif", ("--output", "labels")),
        Case(f"{len(find_images(images))} small images, masks to TIFF", images, "masks"),
    ]


def measure_commands(options: argparse.Namespace, todo: Sequence[Case], folder: Path) -> list[dict[str, Any]]:
    """Time whole commands in turn; check that all write the same bytes."""
    measured = []
    for case in todo:
        for backend in options.backends:
            if backend == "auto":  # what is timed once for a model and a machine is no part of a run
                run_command(case, PLAIN, backend, options, folder)
            rounds, spent, digests = [], [], set()
            for _ in range(options.rounds):
                one, processor = {}, {}
                for way in WAYS:
                    one[way], processor[way], digest = run_command(case, way, backend, options, folder)
                    digests.add(digest)
                rounds.append(one)
                spent.append(processor)
                print(f"{case.name}, {backend}: {describe(one)}", file=sys.stderr, flush=True)
            same = len(digests) == 1
            facts = {"case": case.name, "backend": backend, "pixels": case.pixels, "same bytes": same}
            measured.append({**facts, "rounds": rounds, "processor": spent})
    return measured


def describe(seconds: dict[str, float]) -> str:
    """Return the seconds of each way in words."""
    return ", ".join(f"{way} {value:.1f} s" for way, value in seconds.items())


def run_command(
    case: Case, way: str, backend: str, options: argparse.Namespace, folder: Path
) -> tuple[float, float, str]:
    """Run `unetkit segment` as a process.

    Returns:
        Its seconds; the processor time of all its processes; the hash of what it wrote.

    Raises:
        SystemExit: It fails.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        result = Path(scratch) / case.result
        words = ["segment", str(case.image), str(result), "--backend", backend, *case.options]
        words += ["--model", str(options.model), "--tile", str(options.tile), "--zoom", "1"]
        workers = WAYS[way]
        start = [sys.executable, "-m", "unetkit"]
        if workers:
            start = [sys.executable, "-c", ONE_THREAD, str(workers)]
            words += ["--cluster", f"local:{workers}"]
        begun, before = perf_counter(), children_cpu()
        done = subprocess.run([*start, *words], capture_output=True, text=True, check=False, env=one_thread())
        seconds = perf_counter() - begun
        if done.returncode:
            raise SystemExit(f"{case.name}, {way}: {done.stderr or done.stdout}")
        return seconds, children_cpu() - before, digest_of(result)


def children_cpu() -> float:
    """Return the processor time of all processes that this one has started, and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def one_thread() -> dict[str, str]:
    """Return the environment of a process whose network has one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def digest_of(path: Path) -> str:
    """Return a hash of a file, or of all files in a folder and their names."""
    found = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            found.update(str(file.relative_to(path)).encode())
            with file.open("rb") as content:
                found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()


@contextmanager
def workers_here(number: int) -> Iterator[Client | None]:
    """Give a client of so many workers of one thread; None for none."""
    if not number:
        yield None
        return
    choices: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=number, **choices) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def segment(
    case: Case, client: Client | None, model: Any, backend: str, options: argparse.Namespace, folder: Path, curve: Curve
) -> tuple[float, str, list[str]]:
    """Segment in this process, or by workers that run; return seconds, the hash of the result, and what was said."""
    said: list[str] = []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        result = Path(scratch) / case.result
        more: dict[str, Any] = {"output": "labels"} if "labels" in case.options else {}
        choices = {"backend": backend, "tile": options.tile, "zoom": 1.0, "client": client, **more}
        begun = perf_counter()
        unetkit.segment(case.image, result, model, progress=curve.begin, log=said.append, **choices)
        return perf_counter() - begun, digest_of(result), said


def measure_steady(options: argparse.Namespace, case: Case, folder: Path) -> list[dict[str, Any]]:
    """Measure the rate of each way once all is loaded."""
    measured = []
    torch.set_num_threads(1)
    model = unetkit.load_model(options.model)
    with workers_here(1) as one_client, workers_here(2) as two_clients:
        ways = {PLAIN: (None, model), ONE: (one_client, str(options.model)), TWO: (two_clients, str(options.model))}
        for backend in options.backends:
            rounds = []
            for _ in range(options.rounds):
                one = {}
                for way, (client, loaded) in ways.items():
                    curve = Curve()
                    segment(case, client, loaded, backend, options, folder, curve)
                    one[way] = curve.rate / 1e6
                rounds.append(one)
                rates = ", ".join(f"{way} {rate:.2f} Mpx/s" for way, rate in one.items())
                print(f"steady, {backend}: {rates}", file=sys.stderr, flush=True)
            measured.append({"case": case.name, "backend": backend, "rounds": rounds})
    return measured


def measure_recovery(options: argparse.Namespace, case: Case, folder: Path) -> dict[str, Any]:
    """Kill one of two workers in mid-block, and compare with runs in which nobody is killed."""
    rounds, digests, said = [], set(), list[str]()
    for _ in range(options.rounds):
        one = {}
        for way in ("whole", "killed"):
            with workers_here(2) as client:
                assert client is not None
                curve = Curve()
                if way == "killed":
                    curve.watch = killing(next(iter(client.run(os.getpid).values())))
                found = segment(case, client, str(options.model), options.backends[0], options, folder, curve)
            one[way] = found[0]
            digests.add(found[1])
            said += [line for line in found[2] if "died" in line]
        rounds.append(one)
        print(f"recovery: {describe(one)}", file=sys.stderr, flush=True)
    return {"case": case.name, "same bytes": len(digests) == 1, "said": said, "rounds": rounds}


def killing(process: int) -> Callable[[float], None]:
    """Return what kills a process soon after some of the pixels are done, once."""
    timers: list[Timer] = []

    def watch(share: float) -> None:
        if share >= KILLED_AT and not timers:
            timers.append(Timer(MID_BLOCK_SECONDS, os.kill, (process, signal.SIGKILL)))
            timers[0].start()

    return watch


def spread_of(values: Sequence[float], digits: int = 2) -> str:
    """Return the median of some values, and the smallest and the largest."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def print_commands(measured: Sequence[dict[str, Any]], *, markdown: bool) -> None:
    """Print the table of whole commands."""
    rows = []
    for one in measured:
        seconds = [f"{median(each[way] for each in one['rounds']):.1f}" for way in WAYS]
        slower = [100 * (each[ONE] / each[PLAIN] - 1) for each in one["rounds"]]
        faster = [each[ONE] / each[TWO] for each in one["rounds"]]
        name = f"{one['case']} ({one['pixels'] / 1e6:.0f} Mpx)"
        processor = " / ".join(f"{median(each[way] for each in one['processor']):.0f}" for way in WAYS)
        same = "yes" if one["same bytes"] else "NO"
        rows.append([name, one["backend"], *seconds, spread_of(slower, 1), spread_of(faster), processor, same])
    columns = ["what", "backend", *(f"{way}, s" for way in WAYS), "1 worker slower, %", "2 workers x 1"]
    columns += ["processor s of each", "same bytes"]
    print_table("Whole commands, one thread for each worker", columns, rows, markdown=markdown)


def print_steady(measured: Sequence[dict[str, Any]], *, markdown: bool) -> None:
    """Print the table of steady rates."""
    rows = []
    for one in measured:
        rates = [f"{median(each[way] for each in one['rounds']):.2f}" for way in WAYS]
        slower = [100 * (each[PLAIN] / each[ONE] - 1) for each in one["rounds"]]
        faster = [each[TWO] / each[ONE] for each in one["rounds"]]
        rows.append([one["case"], one["backend"], *rates, spread_of(slower, 1), spread_of(faster)])
    columns = ["what", "backend", *(f"{way}, Mpx/s" for way in WAYS), "1 worker slower, %", "2 workers x 1"]
    print_table("Between the first block and the last", columns, rows, markdown=markdown)


def print_recovery(measured: dict[str, Any], *, markdown: bool) -> None:
    """Print what a killed worker costs."""
    whole, killed = ([each[way] for each in measured["rounds"]] for way in ("whole", "killed"))
    lost = [each["killed"] - each["whole"] for each in measured["rounds"]]
    same = "yes" if measured["same bytes"] else "NO"
    row = [measured["case"], spread_of(whole, 1), spread_of(killed, 1), spread_of(lost, 1), same]
    columns = ["what", "2 workers, s", "one of them killed, s", "lost, s", "same bytes"]
    print_table("A worker killed in mid-block", columns, [row], markdown=markdown)
    for line in measured["said"]:
        print(line)


PARTS = ("commands", "steady", "recovery", "scheduling", "labels")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure and print everything that was asked for; return it for the JSON file."""
    found: dict[str, Any] = {"machine": describe_machine()}
    print_machine(found["machine"])
    shown = {"markdown": options.markdown}
    todo = cases(options, folder) if {"commands", "steady", "recovery"} & {*options.parts} else []
    if "commands" in options.parts:
        found["commands"] = measure_commands(options, todo, folder)
        print_commands(found["commands"], **shown)
    if "steady" in options.parts:
        found["steady"] = measure_steady(options, todo[0], folder)
        print_steady(found["steady"], **shown)
    if "recovery" in options.parts:
        found["recovery"] = measure_recovery(options, todo[0], folder)
        print_recovery(found["recovery"], **shown)
    if "scheduling" in options.parts:
        found["scheduling"] = scheduling.measure(folder, options.blocks, 2)
        scheduling.print_scheduling(found["scheduling"], **shown)
    if "labels" in options.parts:
        import label_peers  # here, since only this part needs scikit-image and dask-image

        place = folder / "labels"
        found["labels"] = label_peers.compare(place, options.labels_size, options.labels_block, 2)
        label_peers.print_results(found["labels"], options.labels_size, **shown)
        shutil.rmtree(place, ignore_errors=True)
    return found


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--model", default="nuclei", help="a model file, or the name of a built-in model")
    parser.add_argument("--backends", nargs="+", default=["torch", "auto"], help="of the first two parts")
    parser.add_argument("--tile", type=int, default=512, help="the same in all runs, so that they can be compared")
    parser.add_argument("--size", type=int, default=7168, help="height and width of the large image, n x 512 pixels")
    parser.add_argument("--images", type=Path, help="a folder of many small images; by default synthetic ones")
    parser.add_argument("--count", type=int, default=200, help="number of synthetic small images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=100_000, help="blocks of the simulated slide")
    parser.add_argument("--labels-size", type=int, default=16384, help="height and width of the mask of the last part")
    parser.add_argument("--labels-block", type=int, default=4096, help="height and width of its blocks")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder, deleted at the end")
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    options = parser.parse_args(args)
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        found = measure(options, Path(scratch))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
