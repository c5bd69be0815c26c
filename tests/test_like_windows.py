"""What files and processes can on Windows and macOS is all that unetkit needs, in folders of any name."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from documented import write_zarr
from tifffile import imread, imwrite
from tiny_fit import SETTINGS

from unetkit.cli import main
from unetkit.foundation.synthetic import write_dataset

SUPPORT = Path(__file__).parent / "support"
FOLDER = "Zellkerne äöüß mit Leerzeichen"
FIT = SETTINGS.replace("--data.workers 0", "--data.workers 2").split()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the open files of a process")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and masks, and an OME-Zarr image."""
    folder = tmp_path_factory.mktemp("Übung 1")
    write_dataset(folder / FOLDER, 5, 128, 0)
    write_zarr(folder / "Stück.zarr", imread(folder / FOLDER / "images" / "cells_000.tif"))
    return folder


def run(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Run commands, their words separated by |, as if on Windows."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", SUPPORT / "like_windows.py", *lines],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(SUPPORT.parents[1]), str(SUPPORT), str(SUPPORT / "small_halo")]),
        },
    )


def test_results_are_written_replaced_and_read_as_on_windows(folder: Path, tiny_model: Path) -> None:
    image, with_model = f"{FOLDER}/images/cells_000.tif", f"--model|{tiny_model}"
    to_labels = f"segment|{image}|Objekte ü.tif|--output|labels|{with_model}"
    done = run(
        folder,
        f"segment|{FOLDER}/images|Masken ü|{with_model}|--report|Übersicht.html",
        f"{to_labels}|--table|Tabelle ü.csv|--geojson|Umriß.geojson",
        f"{to_labels}|--overwrite",
        f"segment|{image}|Bild ü.zarr|{with_model}",
        f"segment|{image}|Bild ü.zarr|{with_model}|--overwrite",
        f"segment|Stück.zarr|Stück.zarr|--output|labels|{with_model}",
        f"segment|Stück.zarr|Stück.zarr|--output|labels|{with_model}|--overwrite",
        f"measure|Objekte ü.tif|{image}|Maße.csv",
        "rasterize|Umriß.geojson|" + f"{image}|Gefüllt.tif|--output|labels",
        f"evaluate|Masken ü|{FOLDER}/masks|--csv|Güte.csv|--json|Güte.json",
    )
    assert done.returncode == 0, done.stderr
    assert imread(folder / "Objekte ü.tif").shape == (128, 128)
    assert {path.name for path in folder.iterdir()} == {
        *(
            FOLDER,
            "Stück.zarr",
            "Masken ü",
            "Objekte ü.tif",
            "Tabelle ü.csv",
            "Umriß.geojson",
            "Bild ü.zarr",
            "Maße.csv",
        ),
        *("Gefüllt.tif", "Güte.csv", "Güte.json", "Übersicht.html"),
    }
    left = [path for path in folder.rglob("*") if path.suffix in (".lock", ".partial", ".unfinished", ".replaced")]
    assert left == []


def test_training_starts_its_workers_anew_goes_on_and_reports_as_on_windows(folder: Path) -> None:
    training = "|".join(FIT)
    done = run(
        folder,
        f"fit|--data.train|{FOLDER}|--runs|Läufe ß|--name|erster Lauf|{training}",
        "fit|--resume|Läufe ß/erster Lauf|--trainer.max_epochs|3",
        "report|Läufe ß/erster Lauf",
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 3/3" in done.stdout
    assert not list((folder / "Läufe ß").rglob("*.partial"))


@pytest.mark.parametrize(
    "line",
    [
        "import os; file = open('a', 'w'); os.remove('a')",
        "import os; os.mkdir('b'); file = open('b/a', 'w'); os.rename('b', 'c')",
        "open('a: b', 'w')",
        "import os; os.symlink('a', 'c')",
        "import os; open('d', 'w').close(); open('e', 'w').close(); os.rename('d', 'e')",
        "import mmap; import os; open('f', 'wb').write(b'1'); file = open('f', 'rb');"
        "kept = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); file.close(); os.replace('g', 'f')",
    ],
)
def test_what_windows_refuses_is_refused(line: str, tmp_path: Path) -> None:
    code = f"from pathlib import Path; import like_windows; like_windows.restrict(Path('.'))\n{line}"
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "Error" in done.stderr.splitlines()[-1], done.stderr
    assert done.returncode == 1


def test_names_as_macos_writes_them_are_those_of_their_masks(tmp_path: Path, tiny_model: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zelle ä") for form in ("NFC", "NFD"))
    assert composed != decomposed
    rng = np.random.default_rng(0)
    for kind, name in (
        ("images", decomposed),
        ("masks", f"{composed}_mask"),
        ("both", decomposed),
        ("both", f"{composed}_mask"),
    ):
        (tmp_path / kind).mkdir(exist_ok=True)
        imwrite(tmp_path / kind / f"{name}.tif", rng.integers(0, 2, (64, 64)).astype(np.uint8))
    assert main(["evaluate", str(tmp_path / "images"), str(tmp_path / "masks")]) == 0
    from unetkit.data.names import split_folder

    images, masks = split_folder(sorted((tmp_path / "both").iterdir()))
    assert [path.stem for path in images] == [decomposed]
    assert [path.stem for path in masks] == [f"{composed}_mask"]
