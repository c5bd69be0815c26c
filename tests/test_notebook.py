"""The notebook of the examples runs from its first cell to its last, with smaller parameters."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_steps.ipynb"
SMALL = {"images": 8, "size": 128, "epochs": 1, "crops": 8, "minutes": 1, "mosaic_size": 192}
MOST_BYTES = 20_000


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def parameters(notebook: Any) -> Any:
    """The cell that a run may change, as papermill finds it."""
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The notebook after its run, and the folder in which it ran."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = read()
    cell = parameters(notebook)
    cell.source += "".join(f"\n{name} = {value}" for name, value in SMALL.items())
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def test_its_first_code_cell_holds_the_parameters_alone() -> None:
    notebook = read()
    cell = parameters(notebook)
    assert cell is next(cell for cell in notebook.cells if cell.cell_type == "code")
    assigned = {
        name.id
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign)
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    assert assigned == {*SMALL, "folder"}


def test_it_is_kept_without_results() -> None:
    assert NOTEBOOK.stat().st_size <= MOST_BYTES
    notebook = read()
    nbformat.validate(notebook)
    assert not outputs(notebook)
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_it_trains_segments_and_measures(executed: tuple[Any, Path]) -> None:
    _, folder = executed
    files = {path.name for path in (folder / "first_steps").iterdir()}
    assert files == {"cells", "runs", "mosaic.tif", "labels.tif", "objects.csv", "objects.geojson", "truth.tif"}
    assert list((folder / "first_steps" / "runs").glob("*/model.safetensors"))


def test_it_shows_pictures(executed: tuple[Any, Path]) -> None:
    pictures = [one for one in outputs(executed[0]) if "image/png" in one.get("data", {})]
    assert len(pictures) == 4


def test_bars_end_full_and_need_no_widgets(executed: tuple[Any, Path]) -> None:
    bars = [one.data for one in outputs(executed[0]) if "<progress" in one.get("data", {}).get("text/html", "")]
    titles = [bar["text/plain"].split("  ")[0] for bar in bars]
    assert titles == ["Trained to epoch 1", "array", "mosaic.tif"]
    assert all("100%" in bar["text/plain"] for bar in bars)
    assert not any("widget" in kind for one in outputs(executed[0]) for kind in one.get("data", {}))


def test_nothing_goes_to_standard_error_and_lines_come_once(executed: tuple[Any, Path]) -> None:
    streams = [one for one in outputs(executed[0]) if one.output_type == "stream"]
    assert [one.text for one in streams if one.name == "stderr"] == []
    lines = "".join(one.text for one in streams).splitlines()
    assert len([line for line in lines if line.startswith("Best model: ")]) == 1
