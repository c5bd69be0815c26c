"""Lines of a journal come back after its process was killed at any byte."""

import pytest

from unetkit.foundation.errors import OutputError
from unetkit.io.writing.journal import Journal

LINES = ["block 0 of plane 3", "", "größer\rund mehr"]


def test_cut_off_at_any_byte_the_whole_lines_stay_and_others_can_follow(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    ends = []
    for line in LINES:
        journal.append(line)
        ends.append(path.stat().st_size)
    journal.close()
    whole = path.read_bytes()
    assert ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        again = Journal(path)
        kept = sum(size >= end for end in ends)
        assert again.lines == LINES[:kept]
        for line in LINES[kept:]:
            again.append(line)
        again.close()
        assert path.read_bytes() == whole


def test_a_damaged_line_and_what_follows_is_dropped(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    for line in LINES:
        journal.append(line)
    journal.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[:first] + bytes(len(whole) - first))  # as a power failure may leave it
    again = Journal(path)
    assert again.lines == LINES[:1]
    assert path.stat().st_size == first
    again.close()


def test_a_full_disk_costs_the_line_alone(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.append("one")
    real = journal._file

    class Full:
        left = 3

        def write(self, data):
            if not self.left:
                raise OSError(28, "No space left on device")
            count = min(len(data), self.left)
            self.left -= count
            return real.write(data[:count])

        def __getattr__(self, name):
            return getattr(real, name)

    journal._file = Full()
    with pytest.raises(OutputError, match="No space left"):
        journal.append("two")
    journal._file = real
    journal.append("three")
    journal.close()
    assert Journal(tmp_path / "journal").lines == ["one", "three"]


def test_a_note_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="one line"):
        Journal(tmp_path / "journal").append("a\nb")
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "missing" / "journal")
