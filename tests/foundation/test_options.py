from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from unetkit.foundation.errors import ConfigError
from unetkit.foundation.options import heading, options_of, split_options


@dataclass(frozen=True)
class Light:
    """How much light there is.

    More about it.

    Args:
        power: In watts.
        colour: Its name.
    """

    power: float = 1.5
    colour: str | Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.power < 0:
            raise ConfigError(f"power: {self.power:g} is not possible.", "Use 0 or more.")


@dataclass(frozen=True)
class Stage:
    """Where the sample is."""

    height: int = 0
    slow: bool = False


def test_fields_become_options_with_the_defaults_of_the_instance() -> None:
    power, colour = options_of(Light(power=3))
    assert (power.name, power.type, power.default, power.help) == ("power", float, 3, "In watts.")
    assert (colour.type, colour.default) == (str | Sequence[int] | None, None)
    assert heading(Light) == "How much light there is"


def test_only_what_is_false_by_default_is_a_flag() -> None:
    assert [option.is_flag for option in options_of(Stage())] == [False, True]
    assert not any(option.is_flag for option in options_of(Stage(slow=True)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (Light(), Stage())),
        ({"slow": True, "colour": (1, 2, 3)}, (Light(colour=(1, 2, 3)), Stage(slow=True))),
    ],
)
def test_keyword_arguments_go_to_the_class_that_has_them(values: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert split_options(values, Light, Stage) == expected


def test_an_unknown_keyword_names_the_closest_of_all_classes() -> None:
    with pytest.raises(ConfigError, match=r"There is no setting 'heigth'\. Did you mean 'height'\?"):
        split_options({"power": 1.0, "heigth": 3}, Light, Stage)


def test_what_a_class_refuses_passes_as_it_is() -> None:
    with pytest.raises(ConfigError, match=r"power: -1 is not possible\. Use 0 or more"):
        split_options({"power": -1.0}, Light, Stage)
