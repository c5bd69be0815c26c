"""Labels of whole images without masks: from a CSV to a model and a table of probabilities."""

from __future__ import annotations

import csv
import json
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tifffile import imwrite

from unetkit import load_model, predict_tiled, segment
from unetkit.cli import main
from unetkit.data.labelled import LabelledData
from unetkit.foundation.atomic import claimed
from unetkit.foundation.errors import ConfigError, OutputError, UnetkitError
from unetkit.inference.run.classify import classify
from unetkit.io.base.arrays import ArraySource
from unetkit.models.image_head import ImageClassifier
from unetkit.models.model_file import read_spec
from unetkit.report.run.validated import read_images
from unetkit.training.classification.run import ClassificationRun
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT, FIT_LABELS

SETTINGS = """
    --model.image_classes [blob] --model.encoder resnet18 --model.depth 3 --model.lr 0.003 --data.crop 32 --data.val 0.3
    --data.images_per_epoch 16 --data.batch_size 4 --data.workers 0 --data.augment light --trainer.accelerator cpu
    --trainer.max_epochs 3
"""


def film(number: int) -> np.ndarray:
    """An image of noise; each odd one has a bright blob."""
    rng = np.random.default_rng(number)
    image = rng.normal(100, 15, (40, 50))
    y, x = np.mgrid[:40, :50]
    if number % 2:
        image[np.hypot(y - rng.integers(14, 26), x - rng.integers(14, 36)) < 9] += 60
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 images and labels.csv."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(20):
        imwrite(folder / f"film{number:02}.tif", film(number))
    lines = ["image,label", *(f"film{number:02}.tif,{number % 2}" for number in range(20))]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def fit(films: Path, runs: Path, *more: str) -> tuple[int, str]:
    words = ["fit", "--data.image_labels", str(films / "labels.csv"), *SETTINGS.split(), "--runs", str(runs), *more]
    with redirect_stdout(StringIO()) as out:
        return main(words), out.getvalue()


@pytest.fixture(scope="module")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished run and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    code, out = fit(films, runs)
    assert code == 0
    return runs / "labels-1", out


def test_the_model_file_has_no_mask_and_says_so(run: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    path = run[0] / "model.safetensors"
    spec = read_spec(path)
    assert (spec.task, spec.image_classes, spec.image_size) == ("classification", ("blob",), 32)
    assert (spec.training["data"]["train_images"], len(spec.training["data"]["val_images"])) == (14, 6)
    assert {name.split(".")[1] for name in load_model(path).state_dict()} == {"encoder", "image_head"}
    assert main(["info", str(path)]) == 0
    assert "it classifies whole images" in capsys.readouterr().out


def test_the_scores_that_are_kept_are_those_of_the_model_on_the_images_to_validate_on(
    run: tuple[Path, str], films: Path
) -> None:
    path = run[0] / "model.safetensors"
    training = read_spec(path).training
    classifiers = [ImageClassifier(load_model(path))]
    numbers = [int(name[4:6]) for name in training["data"]["val_images"]]
    given = {number: classify(ArraySource(film(number), "YX"), classifiers)["blob"] for number in numbers}
    odd = [value for number, value in given.items() if number % 2]
    even = [value for number, value in given.items() if not number % 2]
    assert len(odd) == len(even) == 3
    pairs = [float(one > other) for one in odd for other in even]
    assert training["val_image_auroc"] == pytest.approx(np.mean(pairs))
    threshold = read_spec(path).image_threshold
    right = [value >= threshold for value in odd] + [value < threshold for value in even]
    assert training["val_image_accuracy"] == pytest.approx(np.mean(right))
    with (run[0] / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert max(float(row["val_image_auroc"]) for row in rows) == pytest.approx(training["val_image_auroc"], abs=1e-4)
    assert f"area under the ROC curve {training['val_image_auroc']:.4f}" in run[1]


def test_it_learns(run: tuple[Path, str]) -> None:
    with (run[0] / "metrics.csv").open(newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.7 * losses[0]
    model = ImageClassifier(load_model(run[0] / "model.safetensors"))
    statistics = [value for name, value in model.encoder.state_dict().items() if name.endswith("running_mean")]
    assert all(value.abs().sum() > 0 for value in statistics[:8])  # of whole images, for there are no crops


def test_a_run_goes_on_from_its_last_epoch(run: tuple[Path, str], films: Path, tmp_path: Path) -> None:
    assert fit(films, tmp_path, "--name", "run", "--trainer.max_epochs", "1", "--model.schedule", "constant")[0] == 0
    with redirect_stdout(StringIO()) as out:
        assert main(["fit", "--resume", str(tmp_path / "run"), "--trainer.max_epochs", "2"]) == 0
    assert "epoch 2/2" in out.getvalue()
    assert "epoch 1/2" not in out.getvalue()


def test_folds_are_trained_one_after_the_other_and_classify_together(films: Path, tmp_path: Path) -> None:
    words = ("--data.folds", "3", "--trainer.max_epochs", "1", "--name", "folds")
    code, out = fit(films, tmp_path, *words)
    assert code == 0
    folds = [read_spec(tmp_path / "folds" / f"fold-{fold}" / "model.safetensors").training for fold in range(3)]
    held = [set(fold["data"]["val_images"]) for fold in folds]
    assert set.union(*held) == {f"film{number:02}.tif" for number in range(20)}
    assert sum(map(len, held)) == 20
    assert all({int(name[4:6]) % 2 for name in names} == {0, 1} for names in held)
    written = json.loads((tmp_path / "folds" / "cross_validation.json").read_text())
    expected = np.mean([fold["val_image_auroc"] for fold in folds])
    assert written["mean"]["val_image_auroc"] == pytest.approx(expected)
    assert re.search(rf"Mean of 3 +{expected:.4f}", out)
    assert "Sensitivity" in out
    assert written["mean"]["val_image_sensitivity"] == pytest.approx(
        np.mean([fold["val_image_sensitivity"] for fold in folds])
    )
    table = tmp_path / "classes.csv"
    said = shlex.split(out.splitlines()[-1].partition(": unetkit ")[2].replace("classes.csv", str(table)))
    assert main(said) == 0
    classifiers = [
        ImageClassifier(load_model(tmp_path / "folds" / f"fold-{fold}" / "model.safetensors")) for fold in range(3)
    ]
    with table.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert float(row["blob"]) == pytest.approx(classify(ArraySource(film(0), "YX"), classifiers)["blob"], abs=1e-5)
    (tmp_path / "folds" / "cross_validation.json").unlink()
    with redirect_stdout(StringIO()) as again:
        assert main(["fit", "--resume", str(tmp_path / "folds")]) == 0
    assert "epoch 1/1" not in again.getvalue()


def test_one_fold_is_trained_by_its_number_within_its_time(films: Path, tmp_path: Path) -> None:
    words = ("--data.folds", "3", "--data.fold", "1", "--trainer.max_epochs", "1", "--name", "one", "--minutes", "60")
    code, said = fit(films, tmp_path, *words)
    assert code == 0
    assert "Training ends within the 60 min" in said
    data = read_spec(tmp_path / "one" / "model.safetensors").training["data"]
    assert (data["folds"], data["fold"]) == (3, 1)


def test_copies_of_an_image_are_set_aside_together(films: Path, tmp_path: Path) -> None:
    for number in range(6):
        for copy in "ab":
            imwrite(tmp_path / f"{number}{copy}.tif", film(number))
    lines = ["image,label", *(f"{number}{copy}.tif,{number % 2}" for number in range(6) for copy in "ab")]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    for choice in ({"val": 0.3}, {"folds": 3, "fold": 0}):
        data = LabelledData(str(tmp_path / "labels.csv"), crop=32, **choice)
        data.label_images(["blob"], None)
        held = data.describe()["val_images"]
        assert len(held) == 4
        assert {name.replace("a", "b") for name in held} == {name for name in held if "b" in name}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"folds": 1}, "data.folds: 1 is not possible"),
        ({"folds": 3, "fold": 3}, "data.fold: 3 is not possible"),
        ({"fold": 0}, "has no meaning without folds"),
        ({"folds": 30, "fold": 29}, "No image to validate on has the label"),
        ({"folds": 3}, "all stands for several runs"),
    ],
)
def test_folds_that_are_not_possible_are_an_error(films: Path, choice: dict[str, int], message: str) -> None:
    with pytest.raises(UnetkitError, match=message):
        LabelledData(str(films / "labels.csv"), crop=32, **choice).label_images(["blob"], None)


def test_segment_writes_a_table_of_probabilities(
    run: tuple[Path, str], films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, model = tmp_path / "classes.csv", run[0] / "model.safetensors"
    words = ["segment", str(films / "film0[1-4].tif"), str(table), "--output", "classes", "--model", str(model)]
    assert main(words) == 0
    said = capsys.readouterr().out
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == [f"film0{number}.tif" for number in (1, 2, 3, 4)]
    classifiers = [ImageClassifier(load_model(model))]
    expected = [classify(ArraySource(film(number), "YX"), classifiers)["blob"] for number in (1, 2, 3, 4)]
    assert [float(row["blob"]) for row in rows] == pytest.approx(expected, abs=1e-5)
    assert f"film02.tif: blob {expected[1]:.2f}" in said
    assert "4 images" in said
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err
    done = segment(films / "film01.tif", table, model, output="classes", overwrite=True)
    assert done[0].image_classes["blob"] == pytest.approx(expected[0])


def test_a_second_run_on_the_same_table_is_refused(run: tuple[Path, str], films: Path, tmp_path: Path) -> None:
    table, model = tmp_path / "classes.csv", run[0] / "model.safetensors"
    with claimed(table), pytest.raises(OutputError, match="Another run is making"):
        segment(films / "film01.tif", table, model, output="classes")
    with pytest.raises(OutputError):
        segment(films / "film01.tif", tmp_path / "missing" / "classes.csv", model, output="classes")
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_not_replaced_where_no_image_can_be_classified(run: tuple[Path, str], tmp_path: Path) -> None:
    table = tmp_path / "classes.csv"
    table.write_text("dear")
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(UnetkitError, match=r"2 of 2 images were not classified"):
        segment(str(tmp_path / "*.tif"), table, run[0] / "model.safetensors", output="classes", overwrite=True)
    assert table.read_text() == "dear"


@pytest.mark.parametrize("output", ["mask", "labels", "probabilities"])
def test_a_mask_is_refused_with_the_command_that_works(
    run: tuple[Path, str], films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    model = run[0] / "model.safetensors"
    words = ["segment", str(films / "film01.tif"), str(tmp_path / "out.tif"), "--model", str(model)]
    for more in ([], ["--dry-run"]):
        assert main([*words, "--output", output, *more]) == 2
        said = capsys.readouterr().err
        assert f"predicts no {output}" in said
        assert "--output classes" in said
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="whole images alone"):
        predict_tiled(film(1), model, output=output)


def test_what_cannot_be_classified_is_named_and_the_others_are_in_the_table(
    run: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    imwrite(tmp_path / "in" / "a.tif", film(1))
    (tmp_path / "in" / "b.tif").write_text("no image")
    words = ["segment", str(tmp_path / "in"), str(tmp_path / "out.csv"), "--output", "classes"]
    assert main([*words, "--model", str(run[0] / "model.safetensors")]) == 2
    assert "1 of 2 images were not classified" in capsys.readouterr().err
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("out.tif", "--output", "classes"), "out.tif is no table. Give a .csv"),
        (("out.csv", "--output", "classes", "--model", "nuclei"), "nuclei does not classify whole images"),
        (("out.csv", "--output", "classes", "--dry-run"), "no meaning for a table"),
        (("out.csv", "--output", "classes", "--pyramid"), "no meaning for the output 'classes'"),
    ],
)
def test_a_table_that_is_not_possible_is_an_error(
    run: tuple[Path, str], films: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = () if "--model" in words else ("--model", str(run[0] / "model.safetensors"))
    assert main(["segment", str(films / "film01.tif"), *words, *model]) == 2
    assert message in capsys.readouterr().err


def test_another_model_starts_from_the_encoder(run: tuple[Path, str], films: Path, tmp_path: Path) -> None:
    weights = ("--model.weights", str(run[0] / "model.safetensors"), "--trainer.max_epochs", "1", "--data.val", "0")
    code, out = fit(films, tmp_path, *weights)
    assert code == 0
    assert "tensors loaded" in out
    assert torch.isfinite(load_model(tmp_path / "labels-1" / "model.safetensors").network.encoder.conv1.weight).all()


@pytest.mark.parametrize(
    ("words", "alone"),
    [
        (["--data.image_labels", "a.csv"], True),
        (["--data.image_labels=a.csv"], True),
        (["--data.image_labels=a.csv", "--data.train", "cells"], False),
        (["--data.train", "cells"], False),
        (["--config", "alone.yaml"], True),
        (["--config=alone.yaml", "--data.train=cells"], False),
        (["--config", "both.yaml"], False),
        (["--config", "null.yaml"], True),
        (["--resume", "run"], False),
    ],
)
def test_labels_alone_are_told_from_labels_beside_masks(
    words: list[str], alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alone.yaml").write_text("data: {image_labels: a.csv}")
    (tmp_path / "both.yaml").write_text("data: {image_labels: a.csv, train: cells}")
    (tmp_path / "null.yaml").write_text("data: {image_labels: a.csv, train: null}")
    monkeypatch.chdir(tmp_path)
    assert from_arguments(FIT, words).settings is (FIT_LABELS if alone else FIT)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model.image_classes", "[a, a]"), "same name"),
        (("--model.image_classes", "[]"), "no image_classes"),
        (("--model.image_classes", "[predicted]"), "cannot be called 'predicted'"),
        (("--model.image_head_hidden", "-1"), "image_head_hidden: -1 is not possible"),
        (("--model.image_head_dropout", "1"), "image_head_dropout: 1 is not possible"),
        (("--model.unfreeze_at_epoch", "2"), "freeze_encoder: true"),
        (("--data.val", "1"), "data.val: 1 is not possible"),
        (("--data.images_per_epoch", "0"), "data.images_per_epoch: 0 is not possible"),
        (("--data.crop", "36"), "image_size of 36"),
        (("--model.loss", "dice"), "model.loss"),
    ],
)
def test_settings_that_are_not_possible_are_an_error(
    words: tuple[str, str], message: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(films, tmp_path, *words)[0] == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["image_labels", "chest_film"])
def test_the_shipped_configurations_are_some(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = Path(__file__).parents[3] / "configs" / f"{name}.yaml"
    monkeypatch.chdir(tmp_path)
    run_config = from_arguments(FIT, ["--config", str(config)])
    assert run_config.settings is FIT_LABELS
    cli = ClassificationRun(run_config)
    assert cli.model.image_classes[-1] == "pneumonia"
    assert cli.datamodule.crop % cli.model.spec.stride == 0
    if name == "chest_film":
        spec, varied = cli.model.spec, cli.datamodule.augmentation
        assert (spec.encoder, spec.image_head_hidden, spec.image_head_dropout) == ("resnet50", 128, 0.5)
        assert cli.model.freezing.freeze_encoder
        assert (cli.model.weights, cli.datamodule.val) == ("imagenet", 0.2)
        assert (varied.flip, varied.flip_vertical, varied.shear_probability) == (0.5, 0, 0.5)


@pytest.fixture(scope="module")
def film_run(run: tuple[Path, str], films: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A run of chest_film.yaml with a small trained encoder from a file; the run folder, the encoder and the output."""
    folder = tmp_path_factory.mktemp("films")
    rows = ["image,label", *(f"{films}/film{n:02}.tif,{'pneumonia' if n % 2 else 'normal'}" for n in range(20))]
    (folder / "films.csv").write_text("\n".join(rows))
    config = Path(__file__).parents[3] / "configs" / "chest_film.yaml"
    weights = run[0] / "model.safetensors"
    words = f"--model.encoder resnet18 --model.depth 3 --model.weights {weights} --data.image_labels {folder}/films.csv"
    small = "--data.crop 32 --data.batch_size 4 --data.workers 0 --data.images_per_epoch 48 --model.lr 0.002"
    ends = f"--trainer.accelerator cpu --trainer.max_epochs 3 --model.ema_decay 0 --runs {folder} --name run"
    with redirect_stdout(StringIO()) as out:
        assert main(["fit", "--config", str(config), *words.split(), *small.split(), *ends.split()]) == 0
    return folder / "run", weights, out.getvalue()


def test_a_frozen_encoder_stays_as_it_was_loaded_and_the_hidden_layer_learns(
    film_run: tuple[Path, Path, str],
) -> None:
    folder, weights, _ = film_run
    given, kept = load_file(weights), load_file(folder / "model.safetensors")
    encoder = [name for name in kept if ".encoder." in name]
    assert encoder
    assert all(torch.equal(given[name], kept[name]) for name in encoder)
    assert kept["network.image_head.2.weight"].shape[0] == 128
    assert kept["network.image_head.5.weight"].shape == (2, 128)
    with (folder / "metrics.csv").open(newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]


def test_the_threshold_the_scores_and_the_worst_images_are_kept(film_run: tuple[Path, Path, str]) -> None:
    folder, _, out = film_run
    spec = read_spec(folder / "model.safetensors")
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["threshold"] == spec.image_threshold
    assert scores["images"] == 4
    names = ("auroc", "accuracy", "sensitivity", "specificity")
    assert all(scores[name] == pytest.approx(spec.training[f"val_image_{name}"], abs=1e-6) for name in names)
    assert scores["classes"][1]["name"] == "pneumonia"
    table = scores["confusion"]["truth_by_prediction"]
    assert [sum(row) for row in table] == [2, 2]
    assert (table[0][0] + table[1][1]) / 4 == scores["accuracy"]
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row[f"val_image_{name}"]) <= 1 for row in rows for name in names)
    assert f"from a probability of {spec.image_threshold:.3g} on" in out
    assert "Sensitivity" in out
    picture = np.asarray(Image.open(folder / "validation.png"))
    assert picture.std() > 5
    probabilities = [row.values["probability"] for row in read_images(folder)]
    assert len(probabilities) == 4
    page = (folder / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r"Probability of what it shows <span[^>]*>([\d.]+)<", page)
    assert [float(text) for text in shown] == pytest.approx(sorted(map(float, probabilities)), abs=5e-4)
    assert "Classes of whole images" in page


def test_the_table_says_what_is_predicted_with_the_stored_threshold(
    film_run: tuple[Path, Path, str], films: Path, tmp_path: Path
) -> None:
    model = film_run[0] / "model.safetensors"
    threshold = read_spec(model).image_threshold
    for given in (None, 0.9):
        table = tmp_path / f"{given}.csv"
        segment(films, table, model, output="classes", threshold=given)
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 20
        limit = threshold if given is None else given
        for row in rows:
            normal, pneumonia = float(row["normal"]), float(row["pneumonia"])
            assert normal + pneumonia == pytest.approx(1, abs=2e-6)
            assert row["predicted"] == ("pneumonia" if pneumonia >= limit else "normal")


def test_a_frozen_encoder_is_let_go_in_its_epoch(run: tuple[Path, str], films: Path, tmp_path: Path) -> None:
    weights = run[0] / "model.safetensors"
    kept: dict[int | None, dict[str, torch.Tensor]] = {}
    for epoch in (None, 1):
        words = ["--model.weights", str(weights), "--model.freeze_encoder", "true", "--trainer.max_epochs", "2"]
        words += ["--model.image_head_hidden", "4", "--data.val", "0", "--model.ema_decay", "0", "--name", str(epoch)]
        words += [] if epoch is None else ["--model.unfreeze_at_epoch", str(epoch)]
        assert fit(films, tmp_path, *words)[0] == 0
        kept[epoch] = load_file(tmp_path / str(epoch) / "model.safetensors")
    given = load_file(weights)
    same = {
        epoch: all(torch.equal(given[name], tensors[name]) for name in tensors if ".encoder." in name)
        for epoch, tensors in kept.items()
    }
    assert same == {None: True, 1: False}


def test_a_start_that_classifies_already_is_the_result_unless_an_epoch_beats_it(
    run: tuple[Path, str], films: Path, tmp_path: Path
) -> None:
    words = ("--model.weights", str(run[0] / "model.safetensors"), "--trainer.max_epochs", "1", "--model.lr", "0.5")
    code, out = fit(films, tmp_path, *words, "--name", "again")
    assert code == 0
    assert "before training  validation AUROC" in out
    start, end = (read_spec(folder / "model.safetensors").training for folder in (run[0], tmp_path / "again"))
    assert end["val_image_auroc"] >= start["val_image_auroc"]


def test_an_encoder_that_is_frozen_at_random_is_said(films: Path, tmp_path: Path) -> None:
    code, out = fit(films, tmp_path, "--model.freeze_encoder", "true", "--trainer.max_epochs", "1")
    assert code == 0
    assert "frozen with random weights" in out


def test_three_classes_are_decided_by_the_most_probable(films: Path, tmp_path: Path) -> None:
    rows = ["image,label", *(f"{films}/film{n:02}.tif,{'abc'[n % 3]}" for n in range(20))]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    labels = ("--data.image_labels", str(tmp_path / "labels.csv"), "--model.image_classes", "[a,b,c]")
    assert fit(films, tmp_path, *labels, "--trainer.max_epochs", "1", "--name", "three")[0] == 0
    model, table = tmp_path / "three" / "model.safetensors", tmp_path / "out.csv"
    assert json.loads((tmp_path / "three" / "scores.json").read_text())["threshold"] is None
    segment(films, table, model, output="classes")
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            given = {name: float(row[name]) for name in "abc"}
            assert sum(given.values()) == pytest.approx(1, abs=3e-6)
            assert row["predicted"] == max(given, key=lambda name: given[name])
    with pytest.raises(ConfigError, match="more than two image classes"):
        segment(films, tmp_path / "no.csv", model, output="classes", threshold=0.3)
