"""Schedulers and workers of Dask as processes of their own, as `dask scheduler` and `dask worker` start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SUPPORT = Path(__file__).parent


class DaskProcesses:
    """Starts them, and kills what is left at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def scheduler(self) -> tuple[str, subprocess.Popen[bytes]]:
        """Start a scheduler; return its address and process."""
        file = self.folder / f"scheduler-{len(self.processes)}.json"
        process = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        end = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.05)
        return json.loads(file.read_text())["address"], process

    def worker(
        self, address: str, *options: str, python_path: Path | None = None, folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker with a thread and no nanny."""
        options = ("--no-nanny", "--nthreads", "1", *options)
        return self._start("worker", address, *options, python_path=python_path, folder=folder)

    def _start(
        self, what: str, *options: str, python_path: Path | None = None, folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        paths = [*([str(python_path)] if python_path else []), str(SUPPORT.parents[1]), str(SUPPORT)]
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--no-dashboard"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd=folder or self.folder,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{what}-{len(self.processes)}.log").open("wb"),
        )
        self.processes.append(process)
        return process

    def end(self, worker: subprocess.Popen[bytes], address: str) -> None:
        """Kill a worker, and wait until its scheduler knows."""
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            before = len(client.nthreads())
            worker.kill()
            while len(client.nthreads()) == before:
                time.sleep(0.05)

    def kill_all(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
