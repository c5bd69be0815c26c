"""From predicted bands to labels. Imported only for labels, which need OpenCV and its memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.ensemble import Ensemble
from unetkit.inference.options import Result
from unetkit.inference.output import least_confidence, smallest_size
from unetkit.io.image import ImageInfo
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.distances import BY_DISTANCE
from unetkit.postprocess.heights import by_height
from unetkit.postprocess.labels import Labels


def make_labels(bands: Sequence[NDArray[np.uint8]], info: ImageInfo, ensemble: Ensemble, result: Result) -> Labels:
    """Label the objects of what models predicted, the best way that these models know.

    Args:
        bands: Masks (1, h, width) or, of models with instances, masks and heights (2, h, width).
        info: The image.
        ensemble: The models.
        result: The user's choices.
    """
    confidence = least_confidence(ensemble, result)
    without_heights = BY_DISTANCE if result.split else CONNECTED
    method = without_heights if confidence is None else by_height(confidence)
    return Labels(bands, info.height, method=method, smallest=smallest_size(info, ensemble, result))
