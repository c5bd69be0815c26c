import pytest

from unetkit.errors import ConfigError
from unetkit.models.spec import ModelSpec


def test_strides_are_the_product_of_the_pooling():
    pooling = ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    spec = ModelSpec(dims=3, depth=3, decoder_channels=(64, 32, 16), pooling=pooling)
    assert (spec.strides, spec.stride) == ((2, 8, 8), 8)
    assert ModelSpec(depth=5).strides == (32, 32)
    assert ModelSpec.from_json(spec.to_json(), "here") == spec


def test_planes_are_inputs_of_the_network_beside_channels():
    assert ModelSpec(in_channels=3, planes=5).network_inputs == 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"planes": 4},
        {"planes": 0},
        {"dims": 4},
        {"dims": 3},
        {"dims": 3, "planes": 3, "pooling": ((2, 2, 2),) * 5},
        {"pooling": ((2, 2, 2),) * 5},
        {"dims": 3, "pooling": ((1, 1, 1),) * 5},
        {"dims": 3, "pooling": ((4, 2, 2),) * 5},
    ],
)
def test_what_does_not_go_together_is_an_error(wrong):
    with pytest.raises(ConfigError):
        ModelSpec(**wrong)
