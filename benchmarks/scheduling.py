"""What handing out costs: blocks of a simulated slide, with a network that costs nothing, through all of `segment`.

    python benchmarks/scheduling.py --blocks 100000

Scheduler and workers are processes of their own. The mask is background, so no chunk of the OME-Zarr is stored. The
memory of scheduler and client is looked at all the time, and at the end the processor time of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import psutil
from distributed import Client
from measuring import describe_machine, measure_process, print_machine, print_table, report
from simulated import SUFFIX, install, write_model, write_slide

import unetkit
from unetkit.inference.spread import blocks

SIDE = 2048
"""Height and width of a block, which is one tile without halo: 4 megapixels. 100,000 of them are 400 gigapixels."""

SAMPLE_SECONDS = 1.0

GPU_PIXELS = 100e6
"""Pixels that a GPU predicts in a second, for what is said on paper."""


@dataclass
class Watch:
    """Memory of two processes while something runs.

    Attributes:
        samples: Pixels that were done, and the resident bytes of scheduler and client.
        pixels: Pixels that are done by now.
    """

    samples: list[tuple[int, int, int]] = field(default_factory=list)
    pixels: int = 0

    def begin(self, name: str, pixels: int) -> Any:  # noqa: ARG002
        """Take the start of an image; see `unetkit.segment`."""
        return self.advance

    def advance(self, pixels: int) -> None:
        """Take what was done."""
        self.pixels += pixels

    @contextmanager
    def of(self, scheduler: psutil.Process) -> Iterator[None]:
        """Take samples while the block runs."""
        over, client = Event(), psutil.Process()

        def watch() -> None:
            while not over.wait(SAMPLE_SECONDS):
                self.samples.append((self.pixels, scheduler.memory_info().rss, client.memory_info().rss))

        thread = Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def started(folder: Path, workers: int, environment: dict[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """Start a scheduler and workers of one thread, as processes of their own.

    Args:
        folder: Where the scheduler says its address, and all write their logs.
        workers: Number of workers.
        environment: Of all of them.

    Yields:
        The address of the scheduler, and the number of its process.
    """
    file = folder / "scheduler.json"
    choices = ["--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(file)]
    with ExitStack() as stack:
        scheduler = stack.enter_context(_process("dask_scheduler", choices, folder, environment))
        for number in range(workers):
            named = ["--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--name", str(number)]
            local = ["--local-directory", str(folder)]
            stack.enter_context(_process("dask_worker", [*named, *local], folder, environment))
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(workers)
            address = str(client.scheduler.address)
        yield address, scheduler.pid


@contextmanager
def _process(
    module: str, words: Sequence[str], folder: Path, environment: dict[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of Dask while the block runs."""
    command = [sys.executable, "-m", f"distributed.cli.{module}", *words]
    with (folder / f"{module}.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def run(folder: Path, number: int, workers: int) -> None:
    """In a process of its own, which knows the plug-ins: segment a simulated slide, and report what it took."""
    side = round(sqrt(number)) * SIDE
    slide, model = folder / f"slide{SUFFIX}", folder / "model.safetensors"
    write_slide(slide, side)
    write_model(model)
    blocks.BLOCK_PIXELS["cpu"] = blocks.SMALLEST_BLOCK = SIDE * SIDE
    choices: dict[str, Any] = {"backend": "nothing", "tile": SIDE, "halo": 0, "batch": 1}
    with (
        started(folder, workers, {**os.environ}) as (address, pid),
        Client(address, set_as_default=False) as client,
    ):
        scheduler, own, watch = psutil.Process(pid), psutil.Process(), Watch()
        others = [psutil.Process(one) for one in client.run(os.getpid).values()]
        before = [cpu_seconds(one) for one in (own, scheduler, *others)]
        said: list[str] = []
        start = perf_counter()
        with watch.of(scheduler):
            result = folder / "mask.zarr"
            unetkit.segment(slide, result, model, client=client, progress=watch.begin, log=said.append, **choices)
        seconds = perf_counter() - start
        spent = [cpu_seconds(one) - first for one, first in zip((own, scheduler, *others), before, strict=True)]
    report(
        {
            "seconds": seconds,
            "blocks": (side // SIDE) ** 2,
            "pixels": side * side,
            "client_cpu": spent[0],
            "scheduler_cpu": spent[1],
            "workers_cpu": spent[2:],
            "samples": watch.samples,
            "files": sum(1 for file in result.rglob("*") if file.is_file()),
            "said": said,
        }
    )


def cpu_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(folder: Path, number: int, workers: int) -> dict[str, Any]:
    """Segment a simulated slide of so many blocks, in processes of their own.

    Returns:
        What `run` reports, or {"error": why it failed}.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        environment = install(Path(scratch))
        command = [sys.executable, __file__, "--child", "--folder", scratch, "--blocks", str(number)]
        return measure_process([*command, "--workers", str(workers)], environment)


def print_scheduling(found: dict[str, Any], *, markdown: bool) -> None:
    """Print what was measured, and what follows for a fleet of GPUs."""
    if "error" in found:
        print(f"scheduling failed: {found['error']}")
        return
    number, seconds = found["blocks"], found["seconds"]
    half = found["samples"][len(found["samples"]) // 2 :] or [(0, 0, 0)]
    rows = []
    spent = (("client", found["client_cpu"], 2), ("scheduler", found["scheduler_cpu"], 1))
    for name, cpu, column in spent:
        sizes = [sample[column] / 1e6 for sample in found["samples"]] or [0]
        grown = (half[-1][column] - half[0][column]) / 1e6
        rows.append([name, f"{1e3 * cpu / number:.2f}", f"{max(sizes):.0f}", f"{grown:+.1f}"])
    rows.append(["each worker", f"{1e3 * sum(found['workers_cpu']) / number:.2f}", "", ""])
    title = (
        f"{number:,} blocks of {SIDE} x {SIDE} pixels, {found['pixels'] / 1e9:.0f} gigapixels: "
        f"{seconds:.0f} s, {number / seconds:.0f} blocks/s, {found['files']} files"
    )
    columns = ["process", "processor ms for each block", "peak MB", "MB more in the second half"]
    print_table(title, columns, rows, markdown=markdown)
    rate = 1 / max(max(cpu for _, cpu, _ in spent) / number, 1e-9)
    pixels = blocks.BLOCK_PIXELS["cuda"]
    print(
        f"\nOn paper: a processor for each of client and scheduler hands out {rate:.0f} blocks/s at most. A GPU at "
        f"{GPU_PIXELS / 1e6:.0f} Mpx/s takes a block of {pixels / 1e6:.0f} Mpx in {pixels / GPU_PIXELS:.2f} s, so "
        f"that is enough for {int(rate * pixels / GPU_PIXELS):,} GPUs."
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(args)
    if options.child:
        run(options.folder, options.blocks, options.workers)
        return
    machine = describe_machine()
    print_machine(machine)
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(options.folder or Path(temporary), options.blocks, options.workers)
    print_scheduling(found, markdown=options.markdown)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, **found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
