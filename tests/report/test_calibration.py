from __future__ import annotations

from unetkit.report.calibration import describe_calibration, reliability_rows

FOUND = {
    "images": 47,
    "temperature": 1.53,
    "error": [0.0118, 0.005],
    "threshold": [0.5, 0.46],
    "min_confidence": [0.5, 0.5],
    "scores": {"ap50": [0.72, 0.73], "ap70": [0.51, 0.51]},
    "bins": [{"low": 0.7, "high": 0.8, "share": 0.1, "said": 0.75, "right": 0.6}],
    "bins_after": [{"low": 0.6, "high": 0.7, "share": 0.1, "said": 0.65, "right": 0.6}],
}


def test_the_sentence_names_what_was_changed_and_what_it_gains() -> None:
    assert describe_calibration(FOUND) == (
        "Chosen on 47 validation images, and stored in the model: a temperature of 1.53 (the calibration error of "
        "probabilities goes from 0.0118 to 0.0050), a threshold of 0.46. On these images AP at an IoU of 0.5 goes from "
        "0.720 to 0.730."
    )


def test_bins_before_and_after_stand_in_one_table() -> None:
    assert reliability_rows(FOUND) == [
        ("0.6 to 0.7", ("", "", ""), ("0.650", "0.600", "10.00%")),
        ("0.7 to 0.8", ("0.750", "0.600", "10.00%"), ("", "", "")),
    ]


def test_a_model_without_them_has_no_table() -> None:
    assert reliability_rows(None) == []
    assert reliability_rows({"bins": "damaged"}) == []
