from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from choices import random_choice

from unetkit.foundation.errors import ModelError
from unetkit.inference.engine.ensemble import gather_models
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

SPEC = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), halo=24, threshold=0.4)


def model(**changes: Any) -> Segmenter:
    if depth := changes.get("depth"):
        changes["decoder_channels"] = (8,) * depth
    return Segmenter(replace(SPEC, **changes))


def test_one_model_is_itself(tiny_model: Path) -> None:
    ensemble = gather_models(tiny_model)
    assert (ensemble.channels, ensemble.classes, ensemble.stride, ensemble.halo) == (1, 1, 8, 16)
    assert ensemble.threshold == 0.5
    assert ensemble.name == "tiny.safetensors"
    assert ensemble.sha256 == ensemble.segmenters[0].sha256 != ""


def test_several_share_the_largest_stride_and_halo_and_the_mean_thresholds() -> None:
    ensemble = gather_models([model(), model(depth=4, halo=16, threshold=0.7, min_confidence=0.7)])
    assert ensemble.stride == 16
    assert ensemble.halo == 32  # 24 is no multiple of 16
    assert ensemble.threshold == pytest.approx(0.55)
    assert ensemble.min_confidence == pytest.approx(0.6)
    assert len(ensemble.specs) == 2


@pytest.mark.parametrize(
    ("image", "smallest"), [(None, 40), ((0.5, 0.5), 40), ((1.0, 1.0), 10), ((0.5, 0.25), 80), ((20.0, 20.0), 0)]
)
def test_the_smallest_object_has_the_same_area_in_every_image(image: Any, smallest: int) -> None:
    known = model(smallest_object=40, pixel_size_um=(0.5, 0.5))
    assert gather_models(known).smallest_object(image) == smallest
    assert gather_models(model(smallest_object=40)).smallest_object(image) == 40


def test_of_several_models_the_most_lenient_says_what_is_too_small() -> None:
    assert gather_models([model(smallest_object=40), model(smallest_object=30)]).smallest_object(None) == 30
    assert gather_models([model(smallest_object=40), model()]).smallest_object(None) == 0


def test_models_and_files_can_be_mixed_and_only_what_was_loaded_here_is_owned(tiny_model: Path) -> None:
    loaded = gather_models(str(tiny_model)).segmenters[0]
    assert gather_models([tiny_model, tiny_model]).owned
    assert not gather_models([tiny_model, loaded]).owned
    assert not gather_models(loaded).owned
    assert gather_models([loaded, tiny_model]).segmenters[0] is loaded


def test_the_hash_is_that_of_all_files_in_their_order(tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_model(model(in_channels=1), other)
    both = gather_models([tiny_model, other]).sha256
    assert len(both) == 64
    assert both not in {gather_models(path).sha256 for path in (tiny_model, other)}
    assert both == gather_models([str(tiny_model), str(other)]).sha256
    assert both != gather_models([other, tiny_model]).sha256


def test_a_model_that_never_was_a_file_has_no_hash(tiny_model: Path) -> None:
    assert gather_models(model()).sha256 == ""
    assert gather_models([tiny_model, model()]).sha256 == ""


def test_a_folder_stands_for_all_models_below_it_in_the_order_of_their_names(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("fold-1", "fold-0"):
        (tmp_path / name).mkdir()
        save_model(model(), tmp_path / name / "model.safetensors")
        (tmp_path / name / "last.ckpt").touch()
    names = [Path(one.name).parent.name for one in gather_models([tmp_path, tiny_model]).segmenters]
    assert names == ["fold-0", "fold-1", tiny_model.parent.name]
    assert gather_models(str(tmp_path / "fold-0")).owned


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.safetensors in"):
        gather_models(tmp_path)


@pytest.mark.parametrize("changes", [{"in_channels": 3}, {"classes": 3}])
def test_models_for_other_images_are_an_error_that_names_both(changes: dict[str, int], tiny_model: Path) -> None:
    other = model(**changes)
    other.name = "other.safetensors"
    with pytest.raises(ModelError, match=rf"other.safetensors has {next(iter(changes))} 3, but .*tiny") as caught:
        gather_models([tiny_model, other])
    assert "same kind" in caught.value.remedy


def test_no_model_is_an_error() -> None:
    with pytest.raises(ModelError, match="no model"):
        gather_models([])


@pytest.mark.parametrize(
    ("halos", "expected"),
    [([24], 24), ([(32, 16)], (32, 16)), ([24, (30, 16)], (32, 24)), ([16, (8, 16)], 16)],
)
def test_the_halo_is_the_largest_along_each_axis_where_they_differ(halos: list[Any], expected: Any) -> None:
    assert gather_models([model(halo=halo) for halo in halos]).halo == expected


def test_objects_are_chosen_as_by_the_first_model_if_all_choose() -> None:
    one, other = (model(instances=True, choice=random_choice(seed)) for seed in range(2))
    assert gather_models([other, one]).choice == other.spec.choice
    assert gather_models([one, model(instances=True)]).choice is None
