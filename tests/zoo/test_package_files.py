"""Files of packages: whole, inside the package, and of a sensible size, or refused."""

from __future__ import annotations

import stat
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from unetkit.errors import ModelError
from unetkit.zoo.package_files import open_package


def pack(path: Path, **files: bytes) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["rdf.yaml", "bioimageio.yaml", "cells/rdf.yaml", "cells.rdf.yaml"])
def test_the_description_of_a_zip_is_found_and_its_files_beside_it(tmp_path: Path, name: str) -> None:
    weights = f"{name.rpartition('/')[0]}/net.onnx".lstrip("/")
    files = open_package(pack(tmp_path / "a.zip", **{name: b"about", weights: b"weights"}))
    assert files.description.read_bytes() == b"about"
    assert files.file("net.onnx").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_names_that_lead_out_are_refused_and_nothing_is_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in/a.zip", **{"rdf.yaml": b"x"})
    with ZipFile(path, "a") as archive:
        archive.writestr(ZipInfo(name), b"evil")
    with pytest.raises(ModelError, match="not one of its own"):
        open_package(path)
    assert not (tmp_path / "evil").exists()


def test_a_description_cannot_name_files_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/rdf.yaml").write_text("x")
    with pytest.raises(ModelError, match="not one of its own"):
        open_package(tmp_path / "package").file("../secret")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", **{"rdf.yaml": b"x"})
    link = ZipInfo("net.onnx")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ModelError, match="link"):
        open_package(path)


def test_a_zip_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="bytes large"):
        open_package(pack(tmp_path / "a.zip", **{"rdf.yaml": b"x", "net.onnx": b"\0" * (65 * 2**20)}))


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_damaged_zip_is_named(tmp_path: Path, cut: int) -> None:
    path = pack(tmp_path / "a.zip", **{"rdf.yaml": b"x" * 100, "net.onnx": b"y" * 100})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelError, match="is damaged"):
        open_package(path)


def test_a_file_whose_bytes_have_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", b"x")
        archive.writestr("net.onnx", b"weights" * 10)
    path.write_bytes(path.read_bytes().replace(b"weightsweights", b"weightsWeights", 1))
    with pytest.raises(ModelError, match="is damaged"):
        open_package(path).file("net.onnx")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no package"):
        open_package(pack(tmp_path / "a.zip", **{"readme.txt": b"x"}))
    with pytest.raises(ModelError, match=r"net\.onnx is missing"):
        open_package(pack(tmp_path / "b.zip", **{"rdf.yaml": b"x"})).file("net.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="no package"):
        open_package(tmp_path / "folder")
