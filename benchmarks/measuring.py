"""What the benchmarks share: the machine in words, peak memory, large test files, tables."""

import json
import os
import platform
import resource
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

TILE = 512
PACKAGES = ("unetkit", "torch", "onnxruntime", "openvino", "monai", "pytorch_toolbelt", "tifffile", "imagecodecs")
MARK = "MEASURED "

UNETKIT = """
import sys
from time import perf_counter, process_time
sys.path.insert(0, sys.argv.pop(1))
from measuring import report
from unetkit.cli import main
start = perf_counter()
code = main(sys.argv[1:])
if not code:
    report({"seconds": perf_counter() - start, "cpu": process_time()})
sys.exit(code)
"""
"""`unetkit` as the command line runs it, and at the end its time and its peak memory."""


def describe_machine() -> dict[str, str]:
    """Return what a timing depends on: processor, cores, memory, GPU and the versions of the packages."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {
        "processor": f"{_processor()}, {cores} cores, {torch.get_num_threads()} threads",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }
    for package in PACKAGES:
        try:
            machine[package] = version(package)
        except PackageNotFoundError:
            machine[package] = "not installed"
    return machine


def _processor() -> str:
    """Return the name of the processor; Linux keeps the useful one in /proc."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory() -> int:
    """Return the largest resident memory that this process had since it was started, in bytes.

    Linux: VmHWM, which begins at zero with a new program. ru_maxrss does not: a child that was started from a large
    process begins with what that one had.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def available_memory() -> int:
    """Return the memory that a new process could take, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024


def report(values: dict[str, Any]) -> None:
    """In a process that `measure_process` started: hand the measurements over."""
    print(MARK + json.dumps({"peak_rss": peak_memory(), **values}), flush=True)


def measure_process(command: Sequence[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a program that ends with `report`; return what it reported, or {"error": the last line that it printed}."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            measured: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return measured
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return {"error": said[-1] if said else f"ended with {done.returncode} and no message"}


def measure_unetkit(*words: str) -> dict[str, Any]:
    """Run a command of unetkit in a process of its own; return its seconds, its processor time and its peak memory."""
    return measure_process([sys.executable, "-c", UNETKIT, str(Path(__file__).parent), *words])


def write_repeated(
    path: Path,
    patch: NDArray[Any],
    size: int,
    *,
    compression: Literal["zlib"] | None = None,
    rows_per_strip: int | None = None,
) -> None:
    """Write a TIFF (size, size) that repeats `patch`, tile by tile or strip by strip, in little memory.

    Args:
        path: The file.
        patch: (h, w) or (h, w, 3), h and w multiples of 512.
        size: Height and width in pixels, a multiple of 512.
        compression: Deflate, or the pixels as they are.
        rows_per_strip: Strips of so many rows, which divide 512, instead of tiles of 512 x 512.
    """
    layout: dict[str, Any] = {"rowsperstrip": rows_per_strip} if rows_per_strip else {"tile": (TILE, TILE)}
    samples = patch.shape[2:]
    tifffile.imwrite(
        path,
        _encoded(patch, size, rows_per_strip, compressed=compression is not None),
        shape=(size, size, *samples),
        dtype=patch.dtype,
        bigtiff=True,
        photometric="rgb" if samples else "minisblack",
        compression=compression,
        metadata=None,
        **layout,
    )


def _encoded(patch: NDArray[Any], size: int, rows: int | None, *, compressed: bool) -> Iterator[bytes]:
    """Yield the tiles or strips of a file as they are stored; each of those that repeat is encoded once."""
    stored: dict[tuple[int, int], bytes] = {}
    height, width = (rows, size) if rows else (TILE, TILE)
    across = -(-width // patch.shape[1])
    for y in range(0, size, height):
        for x in range(0, size, width):
            top, left = place = y % patch.shape[0], x % patch.shape[1]
            if place not in stored:
                pixels = np.concatenate([patch[top : top + height, left : left + width]] * across, axis=1)[:, :width]
                stored[place] = zlib.compress(pixels.tobytes(), 1) if compressed else pixels.tobytes()
            yield stored[place]


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print a table for people, or one for a README."""
    if markdown:
        print(f"\n**{title}**\n")
        for row in (columns, ["---"] * len(columns), *rows):
            print(f"| {' | '.join(row)} |")
        return
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=not i)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def print_machine(machine: dict[str, str]) -> None:
    """Print the machine in two lines."""
    facts = [f"{name} {value}" for name, value in machine.items() if name not in ("processor", "memory", "GPU")]
    print(f"{machine['processor']}; {machine['memory']} of memory; GPU: {machine['GPU']}")
    print(", ".join(facts), flush=True)
