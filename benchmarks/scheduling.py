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
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
from distributed import Client
from measuring import describe_machine, measure_process, print_machine, print_table, report
from simulated import SUFFIX, do_nothing, install, write_model, write_slide

import unetkit
from unetkit.cluster.connecting import connect
from unetkit.foundation.console import log_nothing
from unetkit.inference.spread import blocks
from unetkit.inference.tiling.grid import make_grid
from unetkit.inference.tuning.plan import DEFAULT_TILE
from unetkit.io.base.cells import Cells
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.ome_zarr.sink import OmeZarrSink

SIDE = 2048
"""Height and width of a block, which is one tile without halo: 4 megapixels. 100,000 of them are 400 gigapixels."""

SAMPLE_SECONDS = 1.0

PACK = 5000
"""Bytes of the arguments of a task that predicts a block of a slide."""

CUDA_BLOCK = blocks.BLOCK_PIXELS["cuda"]
CUDA_TILE = DEFAULT_TILE[2]["cuda"]
CUDA_HALO = 96
"""What is usual on a GPU; the halo is that of a model like the built-in one."""

GPU_PIXELS = 100e6
"""Pixels that a GPU predicts in a second, for what is said on paper."""


@dataclass
class Watch:
    """Memory and processor time of processes while something runs.

    Attributes:
        processes: Client and scheduler, then the workers.
        samples: Pixels that were done, and the resident bytes of client and scheduler.
        begun: When the first pixels were done: seconds, and the processor time of each process by then.
        pixels: Pixels that are done by now.
    """

    processes: list[psutil.Process]
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    begun: tuple[float, list[float]] = (0.0, [])
    pixels: int = 0

    def begin(self, name: str, pixels: int) -> Any:  # noqa: ARG002
        """Take the start of an image; see `unetkit.segment`."""
        return self.advance

    def advance(self, pixels: int) -> None:
        """Take what was done."""
        if not self.pixels:
            self.begun = perf_counter(), self.spent()
        self.pixels += pixels

    def spent(self) -> list[float]:
        """Return the processor time of each process, in seconds."""
        times = [process.cpu_times() for process in self.processes]
        return [float(one.user + one.system) for one in times]

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Take samples while the block runs."""
        over = Event()

        def watch() -> None:
            while not over.wait(SAMPLE_SECONDS):
                client, scheduler = (process.memory_info().rss for process in self.processes[:2])
                self.samples.append((self.pixels, client, scheduler))

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
        workers_there = [psutil.Process(one) for one in client.run(os.getpid).values()]
        watch = Watch([psutil.Process(), psutil.Process(pid), *workers_there])
        said: list[str] = []
        result = folder / "mask.zarr"
        with watch.looking():
            unetkit.segment(slide, result, model, client=client, progress=watch.begin, log=said.append, **choices)
        seconds = perf_counter() - watch.begun[0]
        spent = [last - first for last, first in zip(watch.spent(), watch.begun[1], strict=True)]
        most = flood(client, watch, max(number // 5, 100))
    written, tasks = count_tasks(side, SIDE, 0, SIDE * SIDE)
    report(
        {
            "seconds": seconds,
            "blocks": written,
            "tasks": tasks,
            "pixels": side * side,
            "client_cpu": spent[0],
            "scheduler_cpu": spent[1],
            "workers_cpu": spent[2:],
            "most": most,
            "samples": watch.samples,
            "files": sum(1 for file in result.rglob("*") if file.is_file()),
            "said": said,
        }
    )


def flood(client: Client, watch: Watch, number: int) -> dict[str, float]:
    """Hand out tasks that do nothing, as fast as it goes: many travel in one message then.

    Returns:
        Tasks in a second, and the processor time of client and scheduler for each.
    """
    items = [bytes(PACK)] * number
    with connect(None, client, log=log_nothing) as crew:
        deque(crew.map(do_nothing, items[:100], names=[""] * 100), maxlen=0)  # it finds its pace
        start, before = perf_counter(), watch.spent()
        deque(crew.map(do_nothing, items, names=[""] * number), maxlen=0)
        seconds, after = perf_counter() - start, watch.spent()
    client_cpu, scheduler_cpu = ((after[i] - before[i]) / number for i in (0, 1))
    return {"rate": number / seconds, "client_cpu": client_cpu, "scheduler_cpu": scheduler_cpu}


def count_tasks(side: int, tile: int, halo: int, pixels: int) -> tuple[int, int]:
    """Return how many blocks a slide has, and how many tasks are handed out: blocks, shared chunks, smaller levels.

    Args:
        side: Height and width of the slide.
        tile: Size of its tiles.
        halo: Context around what is kept of a tile.
        pixels: Pixels of a block.
    """
    size = (side, side)
    cut = blocks.cut_blocks(make_grid(size, tile=tile, halo=halo, stride=32), 1, pixels, 1, (512, 512))
    sink = OmeZarrSink(Path("mask.zarr"), OutputSpec(size, np.dtype(np.uint8)))
    shared = sum(1 for _ in Cells(size, cut.starts, sink.block).shared_cells())
    return len(cut), len(cut) + shared + sum(len(pieces) for pieces in sink.pieces())


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
    number, tasks, seconds = found["blocks"], found["tasks"], found["seconds"]
    samples = found["samples"] or [(0, 0, 0)]
    half = samples[len(samples) // 2 :]
    spent = (("client", found["client_cpu"], 1), ("scheduler", found["scheduler_cpu"], 2))
    rows = []
    for name, cpu, column in spent:
        grown = (half[-1][column] - half[0][column]) / 1e6
        peak = max(sample[column] for sample in samples) / 1e6
        rows.append([name, f"{1e3 * cpu / tasks:.2f}", f"{1e3 * cpu / number:.2f}", f"{peak:.0f}", f"{grown:+.1f}"])
    work = 1e3 * sum(found["workers_cpu"])
    rows.append(["all workers", f"{work / tasks:.2f}", f"{work / number:.2f}", "", ""])
    title = (
        f"{number:,} blocks of {SIDE} x {SIDE} pixels ({found['pixels'] / 1e9:.0f} gigapixels), {tasks:,} tasks: "
        f"{seconds:.0f} s, {number / seconds:.0f} blocks/s, {found['files']} files"
    )
    columns = ["process", "processor ms for a task", "for a block", "peak MB", "MB more in the second half"]
    print_table(title, columns, rows, markdown=markdown)
    most = found["most"]
    print(
        f"\nTasks that do nothing, as fast as it goes: {most['rate']:.0f} a second; {1e3 * most['client_cpu']:.2f} ms "
        f"of the client's processor and {1e3 * most['scheduler_cpu']:.2f} ms of the scheduler's for each."
    )
    print_on_paper(1 / max(most["client_cpu"], most["scheduler_cpu"], 1e-6), round(sqrt(found["pixels"])))


def print_on_paper(rate: float, side: int) -> None:
    """Say for how many GPUs it is enough.

    Args:
        rate: Tasks in a second that the busier of client and scheduler gets through, which has a processor for itself.
        side: Height and width of a slide, which is cut as on GPUs: the number of tasks for a block depends on it.
    """
    pixels = CUDA_BLOCK
    number, tasks = count_tasks(side, CUDA_TILE, CUDA_HALO, pixels)
    gpus = rate / (tasks / number) * (side * side / number) / GPU_PIXELS
    print(
        f"\nOn paper: with a processor for each, client and scheduler get through {rate:.0f} tasks/s. On GPUs such a "
        f"slide has {number:,} blocks of up to {pixels / 1e6:.0f} Mpx and {tasks / number:.1f} tasks for each, with "
        f"those of shared chunks and smaller levels. At {GPU_PIXELS / 1e6:.0f} Mpx/s for a GPU that is enough for "
        f"{gpus:,.0f} GPUs."
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
