"""Files and folders that appear whole or not at all."""

import shutil
from pathlib import Path

import pytest

from unetkit.foundation.atomic import errors_of, partial_file, partial_folder
from unetkit.foundation.errors import OutputError


def fill(folder, text):
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text(text)


def read(folder):
    return (folder / "deep" / "file").read_text()


def test_a_folder_appears_at_the_end_and_replaces_another(tmp_path):
    path = tmp_path / "out"
    for text in ("first", "second"):
        with partial_folder(path) as partial:
            fill(partial, text)
            assert not path.exists() or read(path) == "first"
        assert read(path) == text
        assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_not_taken_into_the_new_folder(tmp_path):
    left = tmp_path / "out.partial"
    left.mkdir()
    fill(left, "half")
    with partial_folder(tmp_path / "out") as partial:
        assert not list(partial.iterdir())
    assert not list((tmp_path / "out").iterdir())


def test_a_renaming_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "out"
    with partial_folder(path) as partial:
        fill(partial, "old")
    rename = Path.rename

    def refuse(self, target):
        if self.name == "out.partial":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="out cannot be written: Permission denied"), partial_folder(path) as partial:
        fill(partial, "new")
    assert read(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_between_the_renamings_the_old_folder_comes_back_the_next_time(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    fill(path, "old")
    path.rename(tmp_path / "out.replaced")
    with pytest.raises(KeyError), partial_folder(path):
        raise KeyError
    assert read(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_the_old_folder_was_removed_the_new_one_stays(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    fill(path, "new")
    shutil.copytree(path, tmp_path / "out.replaced")
    with partial_folder(path) as partial:
        fill(partial, "newer")
    assert read(path) == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_of_items_pass_and_others_are_of_the_output(tmp_path):
    error = OSError("mine")

    def items():
        yield 1
        raise error

    with pytest.raises(OSError, match="mine") as caught, errors_of(items()) as safe, partial_file(tmp_path / "a"):
        list(safe)
    assert caught.value is error

    def write():
        with errors_of(items()) as safe, partial_file(tmp_path / "a"):
            next(safe)
            raise OSError("other")

    with pytest.raises(OutputError, match="other"):
        write()
