"""What is said of an exported graph: its formula, followed to the letter, normalises pixels as unetkit does."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unetkit.models.normalization import Normalization
from unetkit.models.spec import ModelSpec
from unetkit.models.statistics import measure_statistics
from unetkit.sharing.usage import formula


def follow(text: str, pixels: np.ndarray) -> np.ndarray:
    """Normalise pixels as a formula says, with NumPy alone."""
    values = {f"p{percent}": np.percentile(pixels, float(percent)) for percent in re.findall(r"p([\d.]+)", text)}
    first, _, bright = text.partition("; ")
    expression = re.split(r", with|of the whole|of each", first)[0].strip()

    def evaluate(formula: str) -> np.ndarray:
        names = {"pixels": pixels, "mean": pixels.mean(), "standard_deviation": pixels.std()}
        formula = formula.replace("standard deviation", "standard_deviation")
        for name, value in values.items():
            formula = re.sub(rf"\b{re.escape(name)}\b", repr(float(value)), formula)
        return eval(formula, names)  # the text is that of unetkit

    result = evaluate(expression)
    if not bright:
        return result
    ends, limit = re.search(r"the mean of (.*), clipped to 0 and 1, is above ([\d.]+)", bright).groups()
    looked_at = result if ends == "that" else evaluate(ends)
    if np.clip(looked_at, 0, 1).mean() <= float(limit):
        return result
    return 1 - result if bright.startswith("1 minus that") else -result


@pytest.mark.parametrize("method", ["percentile", "mean_std"])
@pytest.mark.parametrize("bright_background", ["keep", "invert"])
@pytest.mark.parametrize("is_bright", [False, True])
def test_the_formula_normalises_as_unetkit_does(method: str, bright_background: str, is_bright: bool) -> None:
    how = Normalization(method, low=2.0, high=99.0, bright_background=bright_background)
    pixels = np.random.default_rng(0).gamma(2.0, 400.0, (40, 50))
    pixels = 9000 - pixels if is_bright else pixels
    values = measure_statistics(pixels[None], how)
    wanted = (pixels - values.center[0]) / values.scale[0]
    np.testing.assert_allclose(follow(formula(ModelSpec(normalization=how)), pixels), wanted, rtol=1e-4, atol=1e-4)
    assert (values.scale[0] < 0) == (is_bright and bright_background == "invert")
