from __future__ import annotations

import pytest

from unetkit.foundation.errors import ConfigError
from unetkit.training.run.axes import first_pooling


def test_a_network_of_planes_has_no_pooling_of_its_own() -> None:
    assert first_pooling(2, "auto", 4) == ()
    with pytest.raises(ConfigError, match="no meaning"):
        first_pooling(2, [[2, 2, 2]], 1)


def test_a_network_of_volumes_pools_as_it_is_told_or_everywhere_until_the_voxels_are_known() -> None:
    assert first_pooling(3, "auto", 3) == ((2, 2, 2),) * 3
    assert first_pooling(3, [[1, 2, 2], [2, 2, 2]], 2) == ((1, 2, 2), (2, 2, 2))
