from __future__ import annotations

import pickle

from unetkit.foundation.errors import ImageError


def test_an_error_travels_between_processes_whole() -> None:
    error = ImageError("a.tif is no image.", "Give another.")
    error.add_note("seen on worker 3")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is ImageError
    assert (back.problem, back.remedy, back.__notes__) == (error.problem, error.remedy, ["seen on worker 3"])
