import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

README = Path(__file__).parents[1] / "README.md"


def test_the_python_lines_run_as_they_stand(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 50), np.uint8)
    (tmp_path / "runs/cells-1").mkdir(parents=True)
    (tmp_path / "runs/cells-1/model.safetensors").write_bytes(tiny_model.read_bytes())
    tifffile.imwrite(tmp_path / "slide.tif", pixels[0])
    tifffile.imwrite(tmp_path / "truth.tif", (pixels[0] > 128).astype(np.uint8))
    names = {"array": pixels[0], "zarr_in": zarr.array(pixels), "zarr_out": zarr.zeros(pixels.shape, dtype="uint8")}
    monkeypatch.chdir(tmp_path)
    exec(block[1], names)
    assert names["mask"].shape == (40, 50)
    assert set(np.unique(names["zarr_out"][:])) <= {0, 255}
    assert len(names["scores"].rows) == 1
