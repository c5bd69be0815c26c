"""Plug-ins of bioio: those that exist read files that were made here, and one of a test does what plug-ins may do."""

import sys
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
import xarray
from microscope_files import PIXEL_UM, SIZE, make_pixels, write_microscope

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.io.files import find_images, list_series, open_image
from unetkit.io.formats import plugins
from unetkit.io.microscopes.bioio_plugin import BioioFile
from unetkit.io.microscopes.source import MicroscopeSource
from unetkit.testing.sources import SourceContract

PLUGIN = '''
"""A plug-in of bioio: its files name what the reader is to do."""

from tests_reader import Reader


class ReaderMetadata:
    @staticmethod
    def get_supported_extensions():
        return ["ims", ".Txt", "nums.dat"]

    @staticmethod
    def get_reader():
        return Reader
'''


class Reader:
    """What a plug-in's reader gives; class attributes are set by the tests."""

    scenes = ("Image:0", "second")
    dims = ("T", "C", "Z", "Y", "X")
    pixels = np.zeros((1, 2, 3, 40, 50), np.uint16)
    channel_names = ("DAPI", "GFP")
    physical_pixel_sizes = SimpleNamespace(Z=0.5, Y=250.0, X=125.0)
    dimension_properties = SimpleNamespace(Y=SimpleNamespace(unit="nanometer"), X=SimpleNamespace(unit="nanometer"))
    time_interval = timedelta(seconds=2)
    raised: Exception | None = None
    raises_in = ""

    def __init__(self, path):
        self.fail("init")

    def fail(self, place):
        if self.raised is not None and self.raises_in == place:
            raise self.raised

    def set_scene(self, number):
        self.number = number
        self.fail("set_scene")

    @property
    def xarray_dask_data(self):
        self.fail("xarray_dask_data")

        def plane(block):
            self.fail("compute")
            return block + self.number

        chunks = tuple(size if dim in "YXS" else 1 for dim, size in zip(self.dims, self.pixels.shape, strict=True))
        lazy = dask.array.from_array(self.pixels, chunks=chunks).map_blocks(plane, dtype=self.pixels.dtype)
        return xarray.DataArray(lazy, dims=self.dims)


@pytest.fixture
def install(tmp_path_factory, monkeypatch):
    """Install a plug-in whose reader has other attributes."""

    def make(code=PLUGIN, **attributes):
        site = tmp_path_factory.mktemp("site")
        (site / "fake_plugin.py").write_text(code)
        info = site / "fake_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[bioio.readers]\nfake-plugin = fake_plugin\n")
        monkeypatch.syspath_prepend(str(site))
        reader = type("Reader", (Reader,), attributes)
        monkeypatch.setitem(sys.modules, "tests_reader", SimpleNamespace(Reader=reader))
        plugins.cache_clear()

    yield make
    plugins.cache_clear()
    sys.modules.pop("fake_plugin", None)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.ims").write_bytes(b"anything")
    return tmp_path / "a.ims"


def through(module, path, reading=WHOLE, cache_bytes=2**20):
    file = BioioFile(import_module(module).Reader, path)
    return MicroscopeSource(file, path, "ND2", module, reading, as_stored=False, cache_bytes=cache_bytes)


@pytest.mark.parametrize(("module", "suffix"), [("bioio_nd2", ".nd2"), ("bioio_lif", ".lif"), ("bioio_dv", ".dv")])
def test_plugins_give_the_pixels_that_were_written(tmp_path, module, suffix):
    pixels = make_pixels()
    source = through(module, write_microscope(tmp_path / f"a{suffix}", pixels))
    for item in range(3):
        read = source.read(item, (slice(10, 30), slice(5, SIZE[1])))
        np.testing.assert_array_equal(read, pixels[item, :, 10:30, 5:])
    assert source.info.pixel_size_um == pytest.approx((PIXEL_UM, PIXEL_UM))
    assert source.info.plane_axes == "Z"
    assert [step.axis for step in source.info.steps] == ["Z"]
    if module != "bioio_dv":
        assert len(source.info.channel_names) == 2
    source.close()


class TestBioioSource(SourceContract):
    @pytest.fixture
    def pixels(self):
        return make_pixels()

    @pytest.fixture
    def source(self, path, install, pixels):
        install(pixels=pixels.swapaxes(0, 1)[None], scenes=("Image:0",))
        source = open_image(path)
        yield source
        source.close()


def test_a_file_of_a_plugin_is_found_described_and_read(path, install):
    install()
    (path.parent / "notes.txt").touch()
    (path.parent / "b.nums.dat").touch()
    assert find_images(path.parent) == [path]
    assert [(one.name, one.axes, one.shape) for one in list_series(path)] == [
        ("", "CZYX", (2, 3, 40, 50)),
        ("second", "CZYX", (2, 3, 40, 50)),
    ]
    source = open_image(path, ReadOptions(series=1, channels="gfp"))
    info = source.info
    assert (info.format, info.channel_names, info.pixel_size_um) == ("fake-plugin", ("GFP",), (0.25, 0.125))
    assert [str(step) for step in info.steps] == ["Z 0.5 µm"]  # there is no T with more than one position
    assert (source.read(2, (slice(0, 40), slice(0, 50))) == 1).all()
    source.close()
    (path.parent / "c.nums.dat").write_bytes(b"anything")
    assert list_series(path.parent / "c.nums.dat")[0].axes == "CZYX"


def test_channels_that_have_numbers_for_names_have_none(path, install):
    install(channel_names=("0", "1"))
    source = open_image(path)
    assert source.info.channel_names == ()
    source.close()


def test_a_plane_that_is_too_large_for_memory_is_kept_in_a_temporary_file(path, install):
    pixels = np.random.default_rng(0).integers(0, 255, (1500, 1600)).astype(np.uint8)
    install(dims=("Y", "X"), pixels=pixels, channel_names=None, scenes=("Image:0",))
    source = open_image(path, cache_bytes=2**20)
    assert source.info.scratch_bytes == pixels.nbytes
    np.testing.assert_array_equal(source.read(0, (slice(70, 1000), slice(3, 9)))[0], pixels[70:1000, 3:9])
    source.close()


def test_alpha_is_dropped(path, install):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 4)).astype(np.uint8)
    install(dims=("Y", "X", "S"), pixels=pixels, channel_names=None, scenes=("Image:0",))
    source = open_image(path)
    assert (source.info.channels, source.info.alpha, source.info.colours) == (3, True, True)
    np.testing.assert_array_equal(source.read(0, (slice(0, 40), slice(0, 50))), pixels[..., :3].transpose(2, 0, 1))
    source.close()
    stored = open_image(path, as_stored=True)
    assert (stored.info.channels, stored.info.encoding.alpha) == (4, True)
    stored.close()


def test_true_becomes_255(path, install):
    pixels = np.random.default_rng(0).random((40, 50)) > 0.5
    install(dims=("Y", "X"), pixels=pixels, channel_names=None, scenes=("Image:0",))
    source = open_image(path)
    assert source.info.dtype == np.uint8
    np.testing.assert_array_equal(source.read(0, (slice(0, 40), slice(0, 50)))[0], np.where(pixels, 255, 0))
    source.close()


@pytest.mark.parametrize("place", ["init", "set_scene", "xarray_dask_data", "compute"])
@pytest.mark.parametrize("raised", [KeyError("Y"), RuntimeError("native\n library"), AssertionError()])
def test_whatever_a_plugin_raises_is_one_clear_error(path, install, place, raised):
    install(raises_in=place, raised=raised)
    with pytest.raises(ImageError, match=rf"a\.ims cannot be .*{type(raised).__name__}") as caught:
        open_image(path).read(0, (slice(0, 40), slice(0, 50)))
    assert "\n" not in caught.value.problem.replace("native\n library", "")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"dims": ("T", "Z")}, "which is no image"),
        ({"dims": ("Y", "X"), "dtype": np.complex64}, "complex64, which are no real numbers"),
        ({"dims": ("Y", "X"), "shape": (0, 5)}, "which is no image"),
        ({"scenes": ()}, "holds no image"),
    ],
)
def test_a_scene_that_is_no_image_is_named(path, install, attributes, problem):
    shape, dtype = attributes.pop("shape", (40, 50)), attributes.pop("dtype", np.uint8)
    install(**{"dims": ("Y", "X"), "pixels": np.zeros(shape, dtype), "channel_names": None, **attributes})
    with pytest.raises(ImageError, match=problem):
        open_image(path)


@pytest.mark.parametrize(
    ("code", "problem"),
    [("import package_that_is_missing", "ModuleNotFoundError"), ("VALUE = 1", "AttributeError")],
)
def test_a_broken_plugin_is_named_when_it_is_needed_and_not_before(path, install, code, problem):
    install(code)
    with pytest.raises(ConfigError, match=f"The plug-in fake-plugin of bioio cannot be loaded .{problem}"):
        open_image(path)
    source = open_image(write_microscope(path.with_suffix(".czi")))
    source.close()
