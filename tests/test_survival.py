"""What `unetkit segment` survives, by really doing it: killed processes, Ctrl-C, a full disk, damaged files."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from unetkit.cli import main
from unetkit.foundation.console import LOADING_TEXT
from unetkit.foundation.errors import ImageError
from unetkit.inference.array import predict_tiled
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

HEIGHT, WIDTH = 800, 100
"""Of an image with 49 rows of `SMALL_TILES`, so that there is much to be interrupted in."""

SOME_BANDS = 3000
"""Bytes of what is kept of a few rows of tiles."""

SMALL_TILES = ["--tile", "48", "--backend", "torch"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with in.tif in it."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, WIDTH // 4), np.uint8)
    tifffile.imwrite("in.tif", pixels.repeat(8, 0).repeat(4, 1), tile=(48, 48))
    return tmp_path


@pytest.fixture
def words(here: Path, tiny_model: Path) -> Callable[..., list[str]]:
    def command(result: str, *options: str) -> list[str]:
        return ["segment", "in.tif", result, "--model", str(tiny_model), *SMALL_TILES, *options]

    return command


@pytest.fixture
def start() -> Iterator[Callable[[list[str]], subprocess.Popen[str]]]:
    """Start unetkit in a process of its own, which does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []

    def run(arguments: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "unetkit", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def contents(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def uninterrupted(arguments: list[str], result: Path, elsewhere: Path) -> dict[str, bytes]:
    """Return what a run leaves that nobody stops, and move it out of the way."""
    assert main(arguments) == 0
    assert not result.with_name(f"{result.name}.unfinished").exists()
    made = contents(result)
    result.rename(elsewhere)
    return made


def wait_for_bands(process: subprocess.Popen[str], unfinished: Path, size: int = SOME_BANDS) -> None:
    """Wait until some bands are kept."""
    deadline = time.monotonic() + 60
    while not unfinished.exists() or unfinished.stat().st_size < size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("result", "options", "kills"),
    [("out.tif", [], 2), ("out.zarr", [], 1), ("out.tif", ["--output", "labels", "--split", "--pyramid"], 1)],
    ids=["tif", "zarr", "labels"],
)
def test_killed_and_resumed_is_as_if_nothing_had_happened(
    here: Path,
    words: Any,
    start: Any,
    capsys: pytest.CaptureFixture[str],
    result: str,
    options: list[str],
    kills: int,
) -> None:
    rng = random.Random(kills)
    expected = uninterrupted(words(result, *options), here / result, here / f"whole{Path(result).suffix}")
    unfinished, partial = here / f"{result}.unfinished", here / f"{result}.partial"

    def kill(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()
        assert process.returncode != 0, "it was faster"
        assert not (here / result).exists()

    size = 0
    for _ in range(kills):
        process = start(words(result, *options, "--resume"))
        wait_for_bands(process, unfinished, max(size + 1, SOME_BANDS))
        time.sleep(rng.uniform(0, 0.1))
        kill(process)
        assert unfinished.stat().st_size >= size
        size = unfinished.stat().st_size
    # The same command goes on by itself too, with the tiles of the run before.
    shutil.copytree(here, here / "also", ignore=shutil.ignore_patterns("whole*"))
    automatic = [word for word in words(result, *options) if word not in SMALL_TILES]
    with contextlib.chdir("also"):
        capsys.readouterr()
        assert main(automatic) == 0
    assert "rows of tiles: going on from there" in capsys.readouterr().out
    assert contents(here / "also" / result) == expected
    assert {path.name for path in (here / "also").iterdir()} == {"in.tif", result}
    shutil.rmtree("also")
    if options:  # all that is predicted is kept, then the labels are made
        process = start(words(result, *options, "--resume"))
        while not partial.exists():
            assert process.poll() is None, process.communicate()
        kill(process)
    assert main(words(result, *options, "--resume")) == 0
    assert contents(here / result) == expected
    assert {path.name for path in here.iterdir()} == {"in.tif", result, f"whole{Path(result).suffix}"}


def test_what_another_run_left_is_no_result_and_no_input_and_is_replaced_only_if_asked(
    here: Path, words: Any, start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(words("out.tif"))
    wait_for_bands(process, here / "out.tif.unfinished")
    process.kill()
    process.communicate()
    (here / "out.tif.partial").unlink(missing_ok=True)  # of the file itself
    assert {path.name for path in here.iterdir()} == {"in.tif", "out.tif.unfinished", "out.tif.lock"}
    model = words("out.tif")[4]
    assert main(["segment", str(here), "folder", "--model", model, "--tile", "256", "--backend", "torch"]) == 0
    assert [path.name for path in (here / "folder").iterdir()] == ["in.tif"]
    capsys.readouterr()
    # With other options it is of another run, which is neither gone on with nor deleted ...
    kept = (here / "out.tif.unfinished").read_bytes()
    for options, difference in (
        (["--threshold", "0.7"], "threshold was 0.5 and is now 0.7"),
        (["--tta"], "tta was false and is now true"),
        (["--output", "probabilities"], 'output was "mask" and is now "probabilities"'),
    ):
        for resume in ([], ["--resume"], ["--resume", "--overwrite"]):
            assert main([*words("out.tif"), *options, *resume]) == 2
            said = " ".join(capsys.readouterr().err.split())
            assert f"out.tif.unfinished is of another run: {difference}" in said
            assert (
                "Give the same options as before to go on with it, --overwrite without --resume to start anew" in said
            )
            assert not (here / "out.tif").exists()
            assert (here / "out.tif.unfinished").read_bytes() == kept
    # ... unless one says so.
    assert main([*words("out.tif", "--overwrite"), "--threshold", "0.7"]) == 0
    said = capsys.readouterr().out
    assert "out.tif.unfinished, which an earlier run left, is replaced" in said
    assert "going on" not in said
    assert {path.name for path in here.iterdir()} == {"in.tif", "out.tif", "folder"}


def test_a_folder_of_which_some_are_done_says_how_to_go_on(
    here: Path, tiny_model: Path, start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "images").mkdir()
    for name in ("a.tif", "b.tif"):
        (here / "images" / name).write_bytes((here / "in.tif").read_bytes())
    command = ["segment", "images", "masks", "--model", str(tiny_model), *SMALL_TILES]
    process = start(command)
    wait_for_bands(process, here / "masks" / "b.tif.unfinished")
    process.kill()
    process.communicate()
    assert main(command) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 2 outputs exist already" in said
    assert "Pass --resume to segment only the others, --overwrite to replace them" in said
    assert (here / "masks" / "b.tif.unfinished").exists()
    assert main([*command, "--resume"]) == 0
    assert "going on from there" in capsys.readouterr().out
    np.testing.assert_array_equal(tifffile.imread("masks/a.tif"), tifffile.imread("masks/b.tif"))


def test_what_a_broken_model_predicts_is_not_kept(
    here: Path, words: Any, tiny_segmenter: Segmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weights are numbers, but what is computed with them is not."""
    variances = tiny_segmenter.network.get_submodule("encoder.bn1").running_var
    assert isinstance(variances, torch.Tensor)
    variances.fill_(-1)
    save_model(tiny_segmenter, here / "broken.safetensors")
    command = words("out.tif")
    command[command.index("--model") + 1] = "broken.safetensors"
    assert main(command) == 2
    assert "broken.safetensors predicted NaN in fp32" in capsys.readouterr().err
    assert {path.name for path in here.iterdir()} == {"in.tif", "broken.safetensors"}


def test_a_second_run_on_the_same_output_is_refused_and_disturbs_nothing(
    here: Path, words: Any, start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = uninterrupted(words("out.tif"), here / "out.tif", here / "whole.tif")
    process = start(words("out.tif"))
    wait_for_bands(process, here / "out.tif.unfinished")
    process.send_signal(signal.SIGSTOP)  # so that it is not done before the other has begun
    try:
        for options in ((), ("--resume",), ("--overwrite",)):
            assert main(words("out.tif", *options)) == 2
            assert "Another run is making out.tif" in capsys.readouterr().err
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=60) == 0
    assert contents(here / "out.tif") == expected
    assert {path.name for path in here.iterdir()} == {"in.tif", "out.tif", "whole.tif"}


def test_resuming_where_nothing_is_left_to_do_or_nothing_was_begun(
    here: Path, words: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("out.tif", "--resume")) == 0
    before = contents(here / "out.tif")
    assert main(words("out.tif", "--resume")) == 0
    assert "out.tif: it was segmented already, nothing is left to do." in capsys.readouterr().out
    assert contents(here / "out.tif") == before


def test_what_is_left_of_a_run_with_small_tiles_does_not_stay_when_one_tile_does_it_all(
    here: Path, words: Any, tiny_model: Path
) -> None:
    (here / "out.tif.unfinished").write_bytes(b"left over")
    assert main(["segment", "in.tif", "out.tif", "--model", str(tiny_model), "--tile", "1024"]) == 0
    assert {path.name for path in here.iterdir()} == {"in.tif", "out.tif"}


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_ctrl_c_and_its_like_end_soon_and_say_how_to_go_on(
    here: Path, words: Any, start: Any, number: int, code: int, name: str
) -> None:
    process = start(words("out.tif"))
    wait_for_bands(process, here / "out.tif.unfinished")
    process.send_signal(number)
    out, err = process.communicate(timeout=15)  # two seconds on a machine with nothing else to do
    assert process.returncode == code
    assert f"Stopping, as {name} asks." in out
    assert "the same command with --resume goes on from there" in out
    assert err == f"{LOADING_TEXT}\n"
    assert {path.name for path in here.iterdir()} == {"in.tif", "out.tif.unfinished"}
    assert main(words("out.tif", "--resume")) == 0
    assert (here / "out.tif").exists()


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_ctrl_c_while_a_long_window_is_in_the_network_ends_cleanly(
    here: Path, start: Any, tiny_model: Path, backend: str
) -> None:
    """Python cannot stop native code: the process has to end although a thread is still in there."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    tifffile.imwrite("large.tif", np.random.default_rng(0).integers(0, 255, (3072, 3072), np.uint8))
    process = start(
        ["segment", "large.tif", "out.tif", "--model", str(tiny_model), "--tile", "3072", "--backend", backend, "--tta"]
    )
    time.sleep(6)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 130, (out, err)
    assert err == f"{LOADING_TEXT}\n"
    assert not (here / "out.tif").exists()


def test_a_full_disk_is_named_and_resume_goes_on_when_there_is_space(
    here: Path, words: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("tmpfs is Linux's")
    expected = uninterrupted(words("out.tif", "--output", "probabilities"), here / "out.tif", here / "whole.tif")
    disk = here / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        arguments = words("disk/out.tif", "--output", "probabilities")
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert "cannot be written: No space left on device. Check the free space" in said.err
        assert "--resume goes on" in said.out
        assert [path.name for path in disk.iterdir()] == ["out.tif.unfinished"]
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert main([*arguments, "--resume"]) == 0
        assert "rows of tiles: going on from there" in capsys.readouterr().out
        assert contents(disk / "out.tif") == expected
        assert [path.name for path in disk.iterdir()] == ["out.tif"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fixed_model(path: Path) -> Path:
    """Make a model that measures nothing on an image."""
    fixed = Normalization(scope="dataset", center=(100.0,), scale=(80.0,))
    spec = ModelSpec(
        encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), in_channels=1, halo=16, normalization=fixed
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_model(Segmenter(spec).eval(), path)
    return path


def damage(path: Path, tile: int) -> tuple[slice, slice]:
    """Flip the bytes of one tile of a compressed TIFF; return its pixels."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[tile], page.databytecounts[tile]
        across = -(-page.imagewidth // page.tilewidth)
        y, x = tile // across * page.tilelength, tile % across * page.tilewidth
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(255 - byte for byte in data[offset : offset + count])
    path.write_bytes(data)
    return slice(y, y + 64), slice(x, x + 64)


def test_a_damaged_tile_is_an_error_or_background(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (320, 384), np.uint8)
    tifffile.imwrite("good.tif", image, tile=(64, 64), compression="zlib")
    tifffile.imwrite("bad.tif", image, tile=(64, 64), compression="zlib")
    rows, columns = damage(here / "bad.tif", 2 * 6 + 3)
    usual = ["--model", str(fixed_model(here / "fixed.safetensors")), "--tile", "96", "--backend", "torch"]
    assert main(["segment", "good.tif", "p.tif", "--output", "probabilities", *usual]) == 0
    usual += ["--threshold", f"{np.median(tifffile.imread('p.tif')):.4f}"]
    before = threading.active_count()
    assert main(["segment", "bad.tif", "out.tif", *usual]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("bad.tif", "128", "192"))
    assert threading.active_count() == before
    assert not (here / "out.tif").exists()
    assert main(["segment", "bad.tif", "out.tif", *usual, "--on-bad-tile", "background"]) == 0
    said = capsys.readouterr().out
    assert "1 part of the image could not be decoded" in said
    assert "y 128, x 192 (64 x 64)" in said
    assert main(["segment", "good.tif", "good_mask.tif", *usual]) == 0
    mask, good = tifffile.imread("out.tif"), tifffile.imread("good_mask.tif")
    assert not mask[rows, columns].any()
    assert good[rows, columns].any()
    seen = np.zeros(mask.shape, bool)  # a window has 96 pixels at most
    seen[max(rows.start - 96, 0) : rows.stop + 96, max(columns.start - 96, 0) : columns.stop + 96] = True
    assert not seen.all()
    np.testing.assert_array_equal(mask[~seen], good[~seen])


class Faulty:
    """An image whose rows from 200 on cannot be read."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        if index[-2].start >= 200:
            raise ImageError("The cable was pulled.", "Plug it in again.")
        return self.pixels[index]


def test_a_reader_that_raises_leaves_no_thread(tiny_segmenter: Segmenter) -> None:
    before = set(threading.enumerate())
    with pytest.raises(ImageError, match="The cable was pulled"):
        predict_tiled(Faulty(np.zeros((400, 100), np.uint8)), tiny_segmenter, tile=64, backend="torch")
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(threading.enumerate()) == before


HANGING = """
import sys, time
import numpy as np
from unetkit.inference.array import predict_tiled

class Hanging:
    shape, dtype = (400, 100), np.dtype(np.uint8)

    def __getitem__(self, index):
        rows, columns = index[-2:]
        if rows.start >= 200:
            print("hangs", flush=True)
            time.sleep(600)
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

predict_tiled(Hanging(), sys.argv[1], tile=64, backend="torch")
"""


def test_ctrl_c_ends_a_run_whose_reader_hangs(here: Path) -> None:
    """As on a network drive that does not answer."""
    fixed = fixed_model(here / "fixed.safetensors")
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(fixed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in err
    finally:
        process.kill()
        process.communicate()
