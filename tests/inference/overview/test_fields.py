from __future__ import annotations

import numpy as np

from unetkit.inference.overview.fields import FIELD, choose_fields
from unetkit.inference.overview.found import Coarse


def test_fields_are_where_the_reason_to_look_at_them_is() -> None:
    size, shrink = (6000, 9000), 20
    density = np.zeros((300, 450), np.float32)
    density[40:70, 60:90] = 0.9  # rows 800 to 1400 of the image
    density[200:240, 300:340] = 0.3
    doubts = np.zeros_like(density)
    doubts[260:290, 20:50] = 1
    display = np.zeros((300, 450, 3), np.uint8)
    display[120:150:2, 400:430] = 200  # structure without anything found
    fields = choose_fields(Coarse(density[None], None, doubts, shrink), display, size)
    centres = {
        field.title.partition(",")[0]: [(part.start + part.stop) / 2 / shrink for part in field.window]
        for field in fields
    }
    for title, (rows, columns) in {
        "Densest": ((40, 70), (60, 90)),
        "Usual": ((30, 250), (50, 350)),
        "Emptiest": ((120, 150), (400, 430)),
        "Least sure": ((260, 290), (20, 50)),
    }.items():
        assert rows[0] <= centres[title][0] <= rows[1], title
        assert columns[0] <= centres[title][1] <= columns[1], title
    for field in fields:
        assert all(part.stop - part.start == FIELD for part in field.window)
        assert all(0 <= part.start < part.stop <= length for part, length in zip(field.window, size, strict=True))


def test_where_nothing_was_found_one_field_is_enough() -> None:
    empty = Coarse(np.zeros((1, 50, 100), np.float32), None, None, 10)
    (field,) = choose_fields(empty, np.zeros((50, 100, 3), np.uint8), (500, 1000))
    assert field.title.startswith("Emptiest")
    assert field.window[0] == slice(0, 500)  # as large as the image
