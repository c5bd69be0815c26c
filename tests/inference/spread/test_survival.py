"""What `segment` on a cluster survives, by really doing it to processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import spread_hooks
import tifffile
from distributed import Client
from spread_images import CHOICES, blobs, both, traces
from two_workers import two_ready_workers

from unetkit.cluster.tasks import Task
from unetkit.foundation.errors import OutputError
from unetkit.inference.segment import segment
from unetkit.inference.spread import order, work
from unetkit.inference.spread.aside import move_all
from unetkit.inference.spread.steps import Step

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's"),
    pytest.mark.usefixtures("small_blocks"),
]

PUT = "unetkit.io.writing.block_folder:write_block"
KEEP = "unetkit.inference.spread.tasks:keep"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "image.tif", blobs(190, 230), tile=(64, 64))
    return tmp_path / "image.tif"


@pytest.fixture
def hook(client: Client, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Install a hook in the workers, also in one that is started again, and return its file."""
    client.wait_for_workers(2)
    installed: list[str] = []

    def install(do: str, at: str, content: str | None = None) -> Path:
        file = tmp_path / f"{do}-{at.rpartition('.')[2]}"
        if content is not None:
            file.write_text(content)
        hooks = spread_hooks.Hooks({"do": do, "at": at, "file": str(file)})
        client.register_plugin(hooks)
        installed.append(hooks.name)
        return file

    yield install
    client.wait_for_workers(2)
    for name in installed:
        client.unregister_worker_plugin(name)


def hooked(*hooks: dict[str, str]) -> dict[str, Any]:
    """Return options of a cluster whose workers all have these hooks, also those that come later."""
    return {"env": {"SPREAD_HOOKS": json.dumps(hooks)}, "preload": [spread_hooks.__file__]}


@contextmanager
def killed_at(*files: Path) -> Iterator[None]:
    """Kill the process that comes to each place, in the order in which they do."""

    def kill(file: Path) -> None:
        while not over.wait(0.02):
            if file.exists() and (text := file.read_text()):
                os.kill(int(text), signal.SIGKILL)
                return

    over = threading.Event()
    killers = [threading.Thread(target=kill, args=(file,)) for file in files]
    for killer in killers:
        killer.start()
    yield
    over.set()
    for killer, file in zip(killers, files, strict=True):
        killer.join()
        assert file.exists(), f"nobody came to {file.name}"


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("labels.tif", [("halt_in_file", PUT), ("halt", "unetkit.inference.run.objects:ObjectStream._add")]),
        ("labels.zarr", [("halt", "unetkit.inference.spread.label_tasks:Joined.numbers")]),
        ("mask.zarr", [("halt", "unetkit.io.ome_zarr.sink:OmeZarrSink.write_block")]),
        ("small.tif", [("halt", "unetkit.inference.run.image:kept_and_new")]),
    ],
)
def test_a_worker_that_is_killed_in_mid_task_costs_no_byte(
    image: Path,
    tmp_path: Path,
    client: Client,
    objects_model: Path,
    hook: Callable[..., Path],
    name: str,
    places: list[tuple[str, str]],
) -> None:
    choices: dict[str, Any] = {"output": "mask"}
    if name.startswith("labels"):
        choices = {"output": "labels", "min_confidence": 0.0, "table": "a.csv", "geojson": "a.geojson"}
    if name.startswith("small"):
        tifffile.imwrite(image, blobs(70, 80))
    files = [hook(do, at) for do, at in places]

    def run(*arguments: Any, **more: Any) -> None:
        with killed_at(*files):
            segment(*arguments, client=client, **more)

    both(image, tmp_path, name, objects_model, run, **choices)


def test_a_worker_whose_memory_is_full_costs_only_its_task(image: Path, tmp_path: Path, tiny_model: Path) -> None:
    told = tmp_path / "told"
    said: list[str] = []
    hooks = [{"do": "fill_as_told", "at": KEEP, "file": str(told)}]
    with two_ready_workers(memory_limit="1500MiB", **hooked(*hooks)) as client:

        def run(*arguments: Any, **more: Any) -> None:
            told.write_text("once")
            segment(*arguments, client=client, log=said.append, **more)

        both(image, tmp_path, "out.tif", tiny_model, run)
        assert any("used more memory than its limit" in sentence for sentence in said), said


def test_workers_come_and_go_and_one_is_slow(image: Path, tmp_path: Path, tiny_model: Path) -> None:
    slow, seen = tmp_path / "slow", tmp_path / "seen"
    hooks = [{"do": do, "at": KEEP, "file": str(file)} for do, file in (("crawl_one", slow), ("count", seen))]
    with two_ready_workers(**hooked(*hooks)) as client:
        first = next(iter(client.nthreads()))

        def progress(_: str, pixels: int) -> Callable[[int], None]:
            done = [0]

            def advance(more: int) -> None:
                before, done[0] = done[0], done[0] + more
                if before < pixels / 5 <= done[0]:
                    client.cluster.scale(3)
                if before < pixels / 2 <= done[0]:
                    client.retire_workers([first])

            return advance

        def run(*arguments: Any, **more: Any) -> None:
            segment(*arguments, client=client, progress=progress, **more)

        both(image, tmp_path, "out.zarr", tiny_model, run)
        assert first not in client.nthreads()
    who = seen.read_text().split()
    assert 1 <= who.count(slow.read_text()) < len(who) / 2


class Twice(work.SegmentWork):
    """Hands each task out twice, so that two workers do it at the same time; the second result counts."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.again: list[Step] = []
        self.seen: dict[str, Any] = {}
        self.count = 0

    def next(self) -> Task | None:
        if self.again:
            return self.again.pop()
        step = super().next()
        if isinstance(step, Step):
            self.count += 1
            step = replace(step, name=f"{step.name} {self.count}")
            self.again.append(step)
        return step

    def done(self, task: Task, result: Any) -> None:
        if task.name in self.seen:
            super().done(task, result)
        self.seen[task.name] = result


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr", "mask.zarr", "small.tif"])
def test_each_task_may_be_done_twice_at_the_same_time(
    image: Path, tmp_path: Path, client: Client, objects_model: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    choices: dict[str, Any] = {"output": "mask", "pyramid": True}
    if name.startswith("labels"):
        choices |= {"output": "labels", "min_confidence": 0.0, "table": "a.csv", "geojson": "a.geojson"}
    if name.startswith("small"):
        tifffile.imwrite(image, blobs(70, 80))

    def run(*arguments: Any, **more: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(order, "SegmentWork", Twice)
            segment(*arguments, client=client, **more)

    both(image, tmp_path, name, objects_model, run, **choices)


def test_a_full_disk_is_one_error_and_what_is_done_is_kept(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, hook: Callable[..., Path]
) -> None:
    is_full = hook("full", PUT, content="")

    def run(picture: Path, result: Path, model: Path, **choices: Any) -> None:
        with pytest.raises(OutputError, match="No space left on device"):
            segment(picture, result, model, client=client, **choices)
        assert not result.exists()
        assert [path.suffix for path in traces(result.parent)] == [".blocks"]
        is_full.unlink()
        (outcome,) = segment(picture, result, model, client=client, resume=True, **choices)
        assert outcome.kept > 0

    both(image, tmp_path, "out.tif", tiny_model, run)


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_a_cluster_goes_on_from_what_a_run_without_one_left(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, name: str
) -> None:
    def stop(_: str, pixels: int) -> Callable[[int], None]:
        done = [0]

        def advance(more: int) -> None:
            done[0] += more
            if done[0] > pixels / 2:
                raise KeyboardInterrupt

        return advance

    def run(picture: Path, result: Path, model: Path, **choices: Any) -> None:
        with pytest.raises(KeyboardInterrupt):
            segment(picture, result, model, progress=stop, **choices)
        with pytest.raises(OutputError, match=r"threshold was 0\.5 and is now 0\.7"):
            segment(picture, result, model, client=client, resume=True, **{**choices, "threshold": 0.7})
        assert [path.suffix for path in traces(result.parent)] == [".unfinished"]
        said: list[str] = []
        (outcome,) = segment(picture, result, model, client=client, log=said.append, resume=True, **choices)
        assert any("rows of tiles of a run without a cluster: going on" in sentence for sentence in said)
        assert 0 < outcome.kept < outcome.pixels

    both(image, tmp_path, name, tiny_model, run)


def test_a_run_without_a_cluster_says_how_to_go_on_from_one_or_starts_anew(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def run(picture: Path, result: Path, model: Path, **choices: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("unetkit.inference.spread.large.LargeImage._end", stop)
            with pytest.raises(KeyboardInterrupt):
                segment(picture, result, model, client=client, **choices)
        with pytest.raises(OutputError, match=r"a run on a cluster has finished of out\.zarr\. Give --cluster too"):
            segment(picture, result, model, resume=True, **choices)
        said: list[str] = []
        segment(picture, result, model, overwrite=True, log=said.append, **choices)
        assert any("is replaced, as --overwrite says" in sentence for sentence in said)

    both(image, tmp_path, "out.zarr", tiny_model, run)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("cluster", [True, False])
def test_what_a_run_left_that_was_killed_when_its_output_was_whole_is_swept(
    image: Path, tmp_path: Path, client: Client, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, cluster: bool
) -> None:
    def move_and_stop(places: dict[Path, Path]) -> None:
        move_all(places)
        raise KeyboardInterrupt

    result = tmp_path / "out.tif"
    with monkeypatch.context() as patched:
        patched.setattr("unetkit.inference.spread.writing.move_all", move_and_stop)
        with pytest.raises(KeyboardInterrupt):
            segment(image, result, tiny_model, client=client, **CHOICES)
    (left,) = traces(tmp_path)
    assert result.exists()
    segment(image, result, tiny_model, resume=True, **({"client": client} if cluster else {}), **CHOICES)
    assert not left.exists()
