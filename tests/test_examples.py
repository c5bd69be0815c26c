import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import tifffile

from unetkit.foundation.synthetic import make_cells, write_dataset

ROOT = Path(__file__).parents[1]


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_dataset(folder, count=6, size=256, seed=0)
    return folder


@pytest.fixture(scope="module")
def model(cells: Path, small_halo_canvas: None) -> Path:
    path = load("examples/train_from_python.py").main(
        [str(cells), str(cells.parent / "run"), "--epochs", "1", "--crops", "8"]
    )
    assert isinstance(path, Path)
    return path


def test_train_from_python(model: Path) -> None:
    assert model.name == "model.safetensors"
    assert {path.name for path in model.parent.iterdir()} >= {"metrics.csv", "last.ckpt", "validation.png"}


def test_predict_larger_than_memory(model: Path, tmp_path: Path) -> None:
    image, _ = make_cells(300, 1500, seed=1)
    np.save(tmp_path / "image.npy", image)
    load("examples/predict_larger_than_memory.py").main(
        [str(model), str(tmp_path / "image.npy"), str(tmp_path / "mask.npy")]
    )
    mask = np.load(tmp_path / "mask.npy")
    assert mask.shape == image.shape
    assert set(np.unique(mask)) <= {0, 255}


def test_look_at_result(tmp_path: Path) -> None:
    image, labels = make_cells(200, 300, seed=2)
    tifffile.imwrite(tmp_path / "image.tif", image)
    tifffile.imwrite(tmp_path / "mask.tif", (labels > 0).astype(np.uint8) * 255)
    load("examples/look_at_result.py").main(
        [*(str(tmp_path / name) for name in ("image.tif", "mask.tif", "picture.png")), "--window", "20,30,150,400"]
    )
    assert cv2.imread(str(tmp_path / "picture.png")).shape == (300, 540, 3)


def test_look_at_result_shows_the_border_between_touching_objects(tmp_path: Path) -> None:
    labels = np.zeros((60, 60), np.uint16)
    labels[10:50, 10:30], labels[10:50, 30:50] = 1, 2
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((60, 60), np.uint8))
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    load("examples/look_at_result.py").main([str(tmp_path / name) for name in ("image.tif", "labels.tif", "p.png")])
    picture = cv2.imread(str(tmp_path / "p.png"))
    assert picture[60, 59:61].max(axis=-1).min() > 200
    assert not picture[60, 40].any()


def test_the_benchmark_mosaic_keeps_image_and_truth_together(cells: Path, tmp_path: Path) -> None:
    load("benchmarks/mosaic.py").main([str(cells), str(tmp_path), "--size", "600"])
    image, truth = tifffile.imread(tmp_path / "image.tif"), tifffile.imread(tmp_path / "truth.tif")
    assert image.shape == (600, 600, 3)
    assert truth.shape == (600, 600)
    assert image[truth > 0].mean() > 1.5 * image[truth == 0].mean()


def test_synthetic_volumes(tmp_path: Path) -> None:
    main = load("examples/synthetic_volumes.py").main
    main(["nuclei", str(tmp_path / "stacks"), "--count", "1", "--size", "4,16,16"])
    main(["spines", str(tmp_path / "ct"), "--count", "1", "--size", "4,16,16", "--voxel", "9,6,6"])
    assert tifffile.imread(tmp_path / "stacks" / "masks" / "nuclei_000.tif").shape == (4, 16, 16)
    assert (tmp_path / "ct" / "labels.csv").exists()
