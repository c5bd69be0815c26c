"""Names of files are taken as they are by every command, whatever signs are in them; no name ends in a traceback."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from tifffile import TiffFile, imread, imwrite

from unetkit.cli import main
from unetkit.foundation.errors import ImageError
from unetkit.foundation.names import check_local, printable
from unetkit.planning.write import _flow

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8)

NAMES = [
    *(
        "null.tif",
        "~",
        "yes",
        "1e5",
        "0",
        "[a].tif",
        "{a}.tif",
        "a: b.tif",
        "#x.tif",
        "- dash.tif",
        "-x.tif",
        "-",
        "--",
    ),
    *("--help", "--overwrite", "--model=x.tif", "@x.tif", "&x", "!x", "| x", "%s.tif", "*.tif", "a?.tif", "..tif"),
    *(
        "'quoted'.tif",
        '"quoted".tif',
        "ü ñ.tif",
        "two  blanks.tif",
        " ends .tif ",
        "new\nline.tif",
        "tab\t.tif",
        "🙂.tif",
    ),
    *("a,b.tif", "a=b.tif", "$HOME", "$\\frac$.tif", "`id`.tif", "[red]x.tif", "[", "\x1b[31m.tif", "b\udce4r.tif"),
    *("x" * 251 + ".tif", "x" * 255, "ü" * 125 + ".tif"),
]


def identify(name: str) -> str:
    return f"{ascii(name)[:24]}-{len(name)}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, pixels: np.ndarray = IMAGE) -> Path:
    """Write an image of any name; tifffile itself cannot write all."""
    imwrite("image.tmp", pixels)
    return Path("image.tmp").rename(f"./{name}")


@pytest.mark.parametrize("name", NAMES, ids=identify)
def test_info_and_evaluate_take_the_name_as_it_is(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(name)
    assert main(["info", "--", name]) == 0
    out = capsys.readouterr().out
    assert "48 x 64" in out
    assert "\x1b" not in out
    assert main(["evaluate", "--json", "s.json", "--csv", "s.csv", "--", name, name]) == 0
    with Path("s.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 1


@pytest.mark.parametrize("name", NAMES, ids=identify)
def test_segment_takes_the_names_of_image_and_output_as_they_are(name: str, here: Path, tiny_model: Path) -> None:
    write(name)
    arguments = ["segment", "--model", str(tiny_model), "--backend", "torch", "--tile", "48", "--"]
    assert main([*arguments, name, "mask.tif"]) == 0
    output = Path("out", name if name.endswith(".tif") else f"{name[:251]}.tif")
    output.parent.mkdir()
    assert main([*arguments, "mask.tif", str(output)]) == 0
    assert imread(str(output.rename("moved.tif"))).shape == IMAGE.shape
    with TiffFile("mask.tif") as file:
        assert "\x1b" not in str(file.ome_metadata)


@pytest.mark.parametrize("name", ["- a.tif", "b\udce4r.tif", "x" * 245 + ".tif", "[red].tif", "#x.tif"], ids=identify)
def test_images_after_one_of_a_strange_name_are_segmented_too(name: str, here: Path, tiny_model: Path) -> None:
    Path("in").mkdir()
    for each in (name, "z.tif"):
        write(each).rename(Path("in", each))
    arguments = ["--model", str(tiny_model), "--backend", "torch", "--tile", "48"]
    assert main(["segment", "in", "out", *arguments]) == 0
    assert {path.name for path in Path("out").iterdir()} == {name, "z.tif"}


@pytest.mark.parametrize("name", ["null", "~", "- a", "[a]", "#a", "1e5", "b\udce4r"])
def test_options_take_names_as_they_are(name: str, here: Path, tiny_model: Path) -> None:
    write("image.tif")
    Path(name).symlink_to(tiny_model)
    assert main(["segment", "image.tif", "mask.tif", "--backend", "torch", "--tile", "64", "--model", name]) == 0
    assert main(["evaluate", "mask.tif", "mask.tif", "--json", f"{name}.json"]) == 0
    assert Path(f"{name}.json").is_file()


@pytest.mark.parametrize("verb", ["segment", "evaluate", "plan", "info", "fit", "pretrain"])
@pytest.mark.parametrize("address", ["http://example.org/a.tif", "https://a.b/c", "s3://bucket/a.zarr", "gs://b/a.tif"])
def test_addresses_are_refused_with_a_sentence(
    verb: str, address: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.tif")
    lines = {"segment": [address, "o.tif"], "evaluate": [address, "a.tif"], "plan": [address], "info": [address]}
    lines |= {"fit": ["--data.train", address], "pretrain": ["--data.images", address]}
    assert main([verb, *lines[verb]]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"{address} is an address" in error
    assert "Download it" in error
    if verb == "segment":
        assert main(["segment", "a.tif", address]) == 2
        assert f"{address} is an address" in " ".join(capsys.readouterr().err.split())


def test_a_file_whose_name_looks_like_an_address_is_a_file(here: Path) -> None:
    Path("s3:").mkdir()
    check_local(write("a.tif").rename("s3:/a.tif"))
    with pytest.raises(ImageError, match=r"s3://b/a\.tif is an address"):
        check_local(Path("s3://b/a.tif"))


@pytest.mark.parametrize("verb", ["segment", "evaluate", "plan", "info", "fit", "pretrain"])
def test_a_name_longer_than_the_system_allows_is_a_sentence(
    verb: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x" * 300 + ".tif"
    lines = {"segment": [name, "o.tif"], "evaluate": [name, name], "plan": [name], "info": [name]}
    lines |= {"fit": ["--data.train", name], "pretrain": ["--data.images", name]}
    assert main([verb, *lines[verb]]) == 2
    assert "too long" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_a_sentence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.tif").chmod(0)
    for arguments in (["info", "a.tif"], ["segment", "a.tif", "o.tif"], ["evaluate", "a.tif", "a.tif"]):
        assert main(arguments) == 2
        assert "ermission" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["info", "evaluate", "segment"])
def test_a_folder_in_the_place_of_a_file_is_a_sentence(verb: str, here: Path, tiny_model: Path) -> None:
    write("a.tif")
    Path("folder.tif").mkdir()
    lines = {"info": ["folder.tif"], "evaluate": ["a.tif", "folder.tif"], "segment": ["a.tif", "folder.tif"]}
    assert main([verb, *lines[verb]]) == 2


@pytest.mark.parametrize("name", ["b\udce4r", "new\nline", 'q"', "null", "[a]", "#a", "ü"])
def test_a_plan_gives_names_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"train: {_flow(name)}\n", encoding="utf-8", errors="backslashreplace")
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {"train": name}


def test_a_printable_name_keeps_letters_of_all_kinds() -> None:
    assert printable("ü 漢 🙂.tif") == "ü 漢 🙂.tif"
    assert printable("b\udce4r\x07") == "b\\udce4r\\x07"
