from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from unetkit.commandline.calling import call
from unetkit.foundation.errors import ConfigError


@dataclass(frozen=True)
class Look:
    """What is looked at.

    Args:
        region: Part of it: y,x,h,w.
        pixel_size: In micrometres.
        on_dust: What to do about dust.
    """

    region: str | Sequence[int] | None = None
    pixel_size: float | None = None
    on_dust: Literal["stop", "go"] = "stop"


@dataclass(frozen=True)
class Cut:
    """How it is cut.

    Args:
        tile: Pixels of a side.
        skip_empty: Leave out what is empty.
    """

    tile: int | Literal["auto"] = "auto"
    skip_empty: bool = False

    def __post_init__(self) -> None:
        if self.tile == 13:
            raise ConfigError("tile: 13 brings bad luck.", "Use 14.")


Seen = tuple[list[Path], Path, list[Path], Look, Cut, bool]


def verb(
    images: list[Path],
    result: Path,
    model: list[Path] = [],  # noqa: B006
    look: Look = Look(),
    cut: Cut = Cut(tile=64),
    overwrite: bool = False,
) -> Seen:
    """Do it.

    Args:
        images: One or more.
        result: Where to.
        model: One or more too.
        look: Not shown.
        cut: Not shown.
        overwrite: Replace it.
    """
    return images, result, model, look, cut, overwrite


def run(line: str) -> Seen:
    seen: Seen = call(verb, "verb", line.split())
    return seen


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_a_dataclass_becomes_options_of_its_own() -> None:
    *_, look, cut, overwrite = run("a b --region 0,0,9,9 --pixel-size 0.5 --on-dust go --tile auto --skip-empty")
    assert look == Look("0,0,9,9", 0.5, "go")
    assert cut == Cut("auto", True)
    assert not overwrite


def test_the_default_of_the_verb_goes_over_that_of_the_class() -> None:
    assert run("a b")[3:] == (Look(), Cut(tile=64), False)


@pytest.mark.parametrize(("value", "tile"), [("96", 96), ("auto", "auto")])
def test_a_number_or_a_word(value: str, tile: Any) -> None:
    assert run(f"a b --tile {value}")[4].tile == tile


def test_underscores_are_understood_too() -> None:
    assert run("a b --pixel_size=2 --on_dust go --skip_empty")[3:5] == (Look(None, 2.0, "go"), Cut(64, True))


@pytest.mark.parametrize(
    "line",
    [
        "a b c out --tile 96 --overwrite --model m n",
        "a b --tile 96 c --overwrite out --model m n",
        "--overwrite a b c --model m n --tile=96 out",
        "--model m n --tile 96 --overwrite -- a b c out",
    ],
)
def test_files_and_options_come_in_any_order(line: str) -> None:
    assert run(line) == (paths("a", "b", "c"), Path("out"), paths("m", "n"), Look(), Cut(96), True)


def test_one_file_and_names_that_look_like_something_else() -> None:
    assert run("1 null --model true")[:3] == (paths("1"), Path("null"), paths("true"))
    seen: Seen = call(verb, "verb", ["a b.tif", 'q"[x].tif', "{m}", "--model=x y"])
    assert seen[:3] == (paths("a b.tif", 'q"[x].tif'), Path("{m}"), paths("x y"))
    assert run("--tile 96 -- -a -b")[:2] == (paths("-a"), Path("-b"))


@pytest.mark.parametrize(
    ("text", "model", "region"),
    [
        ("model: m\nregion: 0,0,8,8", ["m"], "0,0,8,8"),
        ("model: [m, n]\nregion: [0, 0, 8, 8]", ["m", "n"], [0, 0, 8, 8]),
    ],
)
def test_a_file_of_options(text: str, model: list[str], region: Any, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(f"{text}\npixel_size: 2\nskip_empty: true\ntile: 96\n")
    assert run(f"a b --config {config}")[2:5] == (paths(*model), Look(region, 2.0), Cut(96, True))
    assert run(f"a b --config {config} --model k --tile 32")[2:5] == (paths("k"), Look(region, 2.0), Cut(32, True))


def test_a_file_of_options_can_name_the_files(tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("images: a\nresult: out\n")
    assert run(f"--config {config}")[:2] == (paths("a"), Path("out"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b --regoin 3", r"There is no setting 'regoin'\. Did you mean 'region'\?"),
        ("a b --skip-emty", "Did you mean 'skip_empty'"),
        ("a b --mode m", "Did you mean 'model'"),
        ("a b --tile big", r"tile: 'big' is not possible\. Give a whole number or 'auto'\."),
        ("a b --on-dust stp", r"on_dust: 'stp' is not possible\. Did you mean 'stop'\?"),
        ("a b --pixel-size x", r"pixel_size: 'x' is not possible\. Give a number\."),
        ("a b --tile", "--tile was given without a value"),
        ("a b --tile --overwrite", "--tile was given without a value"),
        ("a b --model", "--model was given without a value"),
        ("a", "result must be given"),
        ("--model m a b", "images and result must be given.*What follows --model belongs to it"),
        ("a b --tile 13", r"tile: 13 brings bad luck\. Use 14\."),
    ],
)
def test_mistakes_have_a_remedy(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(line)


def test_a_value_of_the_wrong_kind_in_a_file_of_options(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("region: 3\n")
    with pytest.raises(ConfigError, match=r"region: '3' .* Give text in quotes or a list such as \[1, 2\] or null"):
        run(f"a b --config {tmp_path / 'options.yaml'}")


def test_negative_numbers_are_values() -> None:
    assert run("--pixel-size -1 a b")[:4] == (paths("a"), Path("b"), [], Look(pixel_size=-1.0))


def test_the_help_groups_options_by_dataclass(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") is None
    out = capsys.readouterr().out
    order = [
        "images ...",
        "result",
        "--model PATH ...",
        "--overwrite",
        "--config",
        "What is looked at:",
        "--pixel-size",
        "How it is c",
    ]
    assert [out.rindex(text) for text in order] == sorted(out.rindex(text) for text in order)
    assert "In micrometres." in out
    assert "Not shown." not in out


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("a c", ("a", None, "c")),
        ("a b c", ("a", "b", "c")),
        ("--config {config} a c", ("a", "listed", "c")),
        ("--config {config} a b c", ("a", "b", "c")),
    ],
)
def test_an_argument_that_may_be_none_may_be_left_out_before_others(
    tmp_path: Path, line: str, seen: tuple[str | None, ...]
) -> None:
    def three(labels: Path, image: Path | None, table: Path) -> tuple[str | None, ...]:
        """Do it."""
        return str(labels), image and str(image), str(table)

    config = tmp_path / "options.yaml"
    config.write_text("image: listed\n")
    assert call(three, "three", line.format(config=config).split()) == seen


def test_the_others_must_be_given_all_the_same() -> None:
    def three(labels: Path, image: Path | None, table: Path) -> None:
        """Do it."""

    with pytest.raises(ConfigError, match="table must be given"):
        call(three, "three", ["a"])
    with pytest.raises(ConfigError, match="labels and table must be given"):
        call(three, "three", [])
    with pytest.raises(ConfigError, match="one argument too many"):
        call(three, "three", ["a", "b", "c", "d"])
