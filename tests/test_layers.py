"""The way through the house: a module imports only from lower layers or its own folder, and torch only when needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import unetkit
from unetkit.cli import VERBS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "unetkit"

ORDER = (
    "foundation",
    "errors",
    "synthetic",
    "fetching",
    "commandline",
    "cluster",
    "postprocess",
    "drawing",
    "io.base",
    "io.decoding",
    "io.writing",
    "io.views",
    "io.tiff",
    "io.ome_zarr",
    "io.microscopes",
    "io.medical",
    "io.hdf5",
    "io",
    "io.masks",
    "annotations",
    "objects",
    "exporting",
    "viewing",
    "models",
    "zoo",
    "backends",
    "inference.tiling",
    "inference.engine",
    "inference.checks",
    "inference.tuning",
    "inference.run",
    "inference.spread",
    "inference.overview",
    "inference",
    "data",
    "scoring",
    "measuring",
    "sharing",
    "planning",
    "report",
    "report.run",
    "training.settings",
    "training.run",
    "training.segmentation",
    "training.pretraining",
    "training.classification",
    "training",
    "napari",
    "demo",
    "verbs",
    "cli",
    "__main__",
    "testing",
)
"""Rooms, lowest first. A room is a folder with the files directly in it, or a file beside the folders."""

HELPS = [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]

LIGHT = {"unetkit", "rich", "docstring_parser"}
"""Packages that help may load."""

MOST_MODULES = 300
"""Modules that help may load, Python's own included: each takes about a millisecond."""

HEAVY = (
    *("torch", "lightning", "albumentations", "scipy", "skimage", "cv2", "segmentation_models_pytorch"),
    *("tifffile", "zarr"),
)

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}


def room(module: str) -> str:
    """Return the room of a module: its folder, or itself where it lies beside the folders."""
    return module.rpartition(".")[0] or module


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of unetkit that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: unetkit's imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "unetkit":
                continue
            known = [".".join(parts[1:end]) for end in range(2, len(parts) + 1) if ".".join(parts[1:end]) in MODULES]
            if known:
                yield known[-1]
            else:
                assert name == "unetkit.__version__", f"{path} imports {name}, which is no module of unetkit"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_room_or_a_lower_one(module: str) -> None:
    level = ORDER.index(room(module))
    for imported in imports(MODULES[module]):
        lower = ORDER.index(room(imported)) < level
        assert lower or room(imported) == room(module), f"unetkit.{module} imports unetkit.{imported}"


def test_there_are_no_circles() -> None:
    TopologicalSorter({module: set(imports(path)) for module, path in MODULES.items()}).prepare()


def test_every_room_is_in_the_order_once() -> None:
    assert sorted(ORDER) == sorted({room(module) for module in MODULES})


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_what_a_page_for_developers_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^):]+)\)", text)
    named = {span for span in re.findall(r"`([\w./-]+)`", text) if "/" in span or span.endswith((".md", ".py"))}
    assert len(named) > 10
    steps = {name for _, names, *_ in table_rows(text, "step") for name in re.findall(r"`([^`]+)`", names)}
    for name in {*linked, *named, *steps}:
        at = name.removesuffix("NAME.py")  # a file that is to be made stands in a folder that there is
        assert any((above / f"{at}{end}").exists() for above in (ROOT, PACKAGE) for end in ("", ".py")), name


def test_the_rooms_of_the_architecture_page_are_those_of_the_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = [room for names, *_ in table_rows(text, "room") for room in re.findall(r"`([^`]+)`", names)]
    assert tuple(room.rstrip("/").replace("/", ".") for room in rooms) == ORDER


def table_rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of all rows below the headings of those tables whose first heading is `first`."""
    tables = re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for table in tables for row in table.splitlines()]


def loaded_by(code: str) -> set[str]:
    """Return which of the heavy packages a fresh interpreter has loaded after `code`."""
    report = f"import sys; print('LOADED', *[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(run.stdout.split("LOADED")[1].split())


def test_importing_unetkit_imports_nothing_heavy() -> None:
    assert not loaded_by("import unetkit; dir(unetkit); unetkit.__version__")


@pytest.mark.parametrize(
    "module",
    [
        *("io.files", "backends.registry", "models.spec", "models.model_file", "models.statistics"),
        *("inference.tiling.grid", "viewing.view", "report.info", "report.run.write_report", "cli"),
    ],
)
def test_what_is_no_network_imports_no_torch(module: str) -> None:
    assert not loaded_by(f"import unetkit.{module}") & {"torch", "lightning", "albumentations"}


def test_the_libraries_of_formats_are_imported_only_when_a_file_is_opened() -> None:
    assert not loaded_by("import unetkit.io.files") & {"tifffile", "zarr"}


def test_what_to_read_is_said_without_numpy() -> None:
    assert not loaded_by("import unetkit.io.base.read_options; import sys; assert 'numpy' not in sys.modules")


@pytest.mark.parametrize("arguments", HELPS)
def test_help_imports_little_so_that_it_is_quick(arguments: list[str]) -> None:
    code = f"""
import sys
before = set(sys.modules)
from unetkit.cli import main
assert main({arguments}) == 0
loaded = [name for name, module in sys.modules.items() if module is not None and name not in before]
print("LOADED", len(sys.modules), *loaded)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, _, report = run.stdout.rpartition("LOADED")
    modules, *loaded = report.split()
    assert len(said) > 5
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names <= LIGHT
    assert int(modules) < MOST_MODULES


def test_the_public_names_are_what_they_say() -> None:
    for name in unetkit.__all__:
        assert getattr(unetkit, name).__name__ == name
    assert set(unetkit.__all__) <= set(dir(unetkit))
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        unetkit.predict  # noqa: B018
