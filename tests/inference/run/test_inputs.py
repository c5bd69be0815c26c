"""Which channels of an image the built-in model is shown, and what is said about it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from unetkit.inference.run.inputs import composite_remarks, open_for
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.models.builtin_models import builtin_folder

NUCLEI = Path(__file__).parents[3] / "../shared/data/nuclei/train/images"
PIXELS = np.arange(3 * 9 * 8, dtype=np.uint8).reshape(3, 9, 8)


def ensemble(folder=None, channels=3):
    """Return what `open_for` looks at of models of 3 channels."""
    name = str((folder or builtin_folder()) / "nuclei.safetensors")
    return SimpleNamespace(dims=2, channels=channels, planes=1, segmenters=[SimpleNamespace(name=name)])


def write(path, names):
    metadata = {"axes": "CYX"} | ({"Channel": {"Name": names}} if names else {})
    tifffile.imwrite(path / "a.ome.tif", PIXELS[: len(names) or 3], metadata=metadata, photometric="minisblack")
    return path / "a.ome.tif"


def test_the_channel_that_shows_nuclei_by_its_name_is_taken(tmp_path):
    for names, number in [(["GFP", "Hoechst 33342"], 1), (["DAPI", "GFP", "RFP"], 0), (["a", "b", "Nuclei"], 2)]:
        source, (remark,) = open_for(write(tmp_path, names), ensemble(), ReadOptions())
        np.testing.assert_array_equal(source.read(0, (slice(0, 9), slice(0, 8))), PIXELS[number : number + 1])
        assert f"'{names[number]}' is taken" in remark
        assert "--channels" in remark


@pytest.mark.parametrize("names", [[], ["GFP", "RFP", "Cy5"], ["DAPI", "Nuclei", "GFP"]])
def test_three_channels_that_are_no_colours_are_doubted(tmp_path, names):
    source, (remark,) = open_for(write(tmp_path, names), ensemble(), ReadOptions())
    assert source.info.channels == 3
    assert "not said to be red, green and blue" in remark
    assert f"--channels {names[0] if names else 0}" in remark


def test_colours_own_models_and_chosen_channels_need_no_word(tmp_path):
    assert not open_for(write(tmp_path, ["Red", "Green", "Blue"]), ensemble(), ReadOptions())[1]
    named = write(tmp_path, ["DAPI", "GFP", "RFP"])
    source, remarks = open_for(named, ensemble(tmp_path), ReadOptions())
    assert source.info.channels == 3
    assert not remarks
    assert not open_for(named, ensemble(), ReadOptions(channels="GFP"))[1]
    tifffile.imwrite(tmp_path / "rgb.tif", PIXELS.transpose(1, 2, 0), photometric="rgb")
    assert not open_for(tmp_path / "rgb.tif", ensemble(), ReadOptions())[1]


def test_an_axis_without_a_name_is_the_channels_if_their_number_fits(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="minisblack", metadata=None)
    source, (remark,) = open_for(tmp_path / "a.tif", ensemble(), ReadOptions())
    assert (source.info.channels, source.info.planes) == (3, 1)
    assert "not said to be" in remark
    assert open_for(tmp_path / "a.tif", ensemble(channels=1), ReadOptions())[0].info.planes == 3


def test_a_composite_of_fluorescence_is_noticed_and_other_pictures_are_not(tmp_path):
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 12, (64, 64, 3), np.uint8)
    composite, grey, tissue = dark.copy(), dark.copy(), 255 - dark
    composite[10:20, 10:20, 2] = 200
    composite[30:40, 30:40, 1] = 180
    grey[10:20, 10:20] = 200
    tissue[10:20, 10:20] = (120, 40, 130)
    for pixels, count in ((composite, 1), (grey, 0), (tissue, 0), (dark * 0, 0)):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
        info = open_image(tmp_path / "a.tif").info
        assert len(composite_remarks(info, pixels.reshape(-1, 3).T)) == count


@pytest.mark.skipif(not NUCLEI.exists(), reason="needs ../shared/data/nuclei")
def test_real_images_of_all_kinds_are_no_composites():
    for path in sorted(NUCLEI.glob("*.png"))[::20]:
        source = open_image(path)
        pixels = source.read(0, (slice(0, source.info.height), slice(0, source.info.width)))
        assert not composite_remarks(source.info, pixels.reshape(len(pixels), -1))
