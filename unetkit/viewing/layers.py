"""Layers of the viewer: names, colours, contrast and opacity of what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.pixels import CHANNEL_COLOURS, class_colour
from unetkit.io.files import image_stem
from unetkit.objects.channel_names import name_channels
from unetkit.viewing.kinds import MOST_CLASSES, Kind, is_colour, kind_of
from unetkit.viewing.opening import Picture
from unetkit.viewing.sample import contrast, take_sample

COVER = 0.4
"""Opacity of masks and labels."""

SURE = 0.6
"""Opacity where a probability or an uncertainty is 1."""

UNSURE_COLOUR = (255, 70, 20)
"""Colour of uncertainty and attention."""

VISIBLE_CHANNELS = len(CHANNEL_COLOURS)
"""Channels beyond these are hidden at first."""

GREY_SHADER = """#uicontrol invlerp normalized
#uicontrol vec3 color color(default="{colour}")
void main() {{ emitRGB(color * normalized()); }}
"""

COLOUR_SHADER = """#uicontrol invlerp brightness
void main() {
  emitRGB(vec3(brightness(getDataValue(0)), brightness(getDataValue(1)), brightness(getDataValue(2))));
}
"""

VEIL_SHADER = """#uicontrol invlerp normalized
#uicontrol vec3 color color(default="{colour}")
#uicontrol float strength slider(min=0, max=1, default={sure})
void main() {{ emitRGBA(vec4(color, strength * normalized())); }}
"""


@dataclass(frozen=True)
class Layer:
    """A layer of the viewer.

    Attributes:
        name: Its name, one of its own.
        channels: The channels of the picture that it shows.
        type: "image" or "segmentation", as the viewer calls them.
        settings: What else the viewer is to know, as its JSON.
        visible: Whether it is shown at first.
    """

    name: str
    channels: slice
    type: str
    settings: dict[str, Any] = field(default_factory=dict)
    visible: bool = True


def image_layers(picture: Picture) -> list[Layer]:
    """Return the layers of an image: one in colours, or one for each channel."""
    sample = take_sample(picture)
    if is_colour(picture.info):
        return [_colour_layer(picture, sample, 1.0)]
    count = picture.info.channels
    stem = image_stem(picture.name)
    names = [stem] if count == 1 else list(name_channels(picture.info))
    return [
        Layer(
            name,
            slice(i, i + 1),
            "image",
            {
                "shader": GREY_SHADER.format(colour=_channel_colour(i, count)),
                "shaderControls": {"normalized": _range(sample[i])},
                "opacity": 1.0,
                "blend": "additive",
            },
            visible=i < VISIBLE_CHANNELS,
        )
        for i, name in enumerate(names)
    ]


def overlay_layers(picture: Picture) -> list[Layer]:
    """Return the layers of what lies over an image."""
    sample = take_sample(picture)
    kind = kind_of(picture.info, picture.notes, sample)
    stem = image_stem(picture.name)
    if kind == "image" and is_colour(picture.info):
        return [_colour_layer(picture, sample, 0.5)]
    count = picture.info.channels
    named = [f"{stem} {name}" for name in name_channels(picture.info)] if count > 1 else [stem]
    return [
        Layer(
            name,
            slice(i, i + 1),
            "segmentation" if kind in ("mask", "classes", "labels") else "image",
            _settings(kind, i, count, sample[i]),
            visible=kind not in ("uncertainty", "image") or i == 0,
        )
        for i, name in enumerate(named)
    ]


def name_apart(layers: Iterable[Layer], used: set[str]) -> Iterator[Layer]:
    """Yield layers under names of their own.

    Args:
        layers: The layers.
        used: Names that are used already; those of the layers are added.
    """
    for layer in layers:
        name, number = layer.name, 1
        while name in used:
            number += 1
            name = f"{layer.name} ({number})"
        used.add(name)
        yield Layer(name, layer.channels, layer.type, layer.settings, layer.visible)


def _settings(kind: Kind, channel: int, count: int, values: NDArray[Any]) -> dict[str, Any]:
    """Return the settings of a layer that lies over an image."""
    if kind == "labels":
        return {"selectedAlpha": COVER}
    if kind == "classes":
        colours = {str(number): _hex(class_colour(number)) for number in range(1, MOST_CLASSES + 1)}
        return {"selectedAlpha": COVER, "segmentColors": colours}
    if kind == "mask":
        return {"selectedAlpha": COVER, "segmentDefaultColor": _hex(class_colour(1))}
    if kind == "image":
        grey = GREY_SHADER.format(colour="#ffffff")
        return {"shader": grey, "shaderControls": {"normalized": _range(values)}, "opacity": 1.0}
    colour = UNSURE_COLOUR if kind == "uncertainty" and count <= 2 else class_colour(channel + 1)
    return {
        "shader": VEIL_SHADER.format(colour=_hex(colour), sure=SURE),
        "shaderControls": {"normalized": {"range": [0, 1], "window": [0, 1]}},
        "opacity": 1.0,
    }


def _colour_layer(picture: Picture, sample: NDArray[Any], opacity: float) -> Layer:
    """Return the layer of a picture in colours: 8 bits as they are, more stretched together."""
    controls = {"range": [0, 255], "window": [0, 255]} if picture.info.dtype.itemsize == 1 else _range(sample)
    settings = {"shader": COLOUR_SHADER, "shaderControls": {"brightness": controls}, "opacity": opacity}
    return Layer(image_stem(picture.name), slice(0, 3), "image", settings)


def _range(values: NDArray[Any]) -> dict[str, list[float]]:
    """Return the values that are black and white, and those between which they can be moved."""
    low, high = contrast(values)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    ends = [float(finite.min()), float(finite.max())] if finite.size else [low, high]
    window = [min(low, ends[0]), max(high, ends[1])]
    if values.dtype.kind in "iu":
        return {"range": [round(low), max(round(high), round(low) + 1)], "window": [round(window[0]), round(window[1])]}
    return {"range": [low, high], "window": window}


def _channel_colour(number: int, count: int) -> str:
    if count == 1:
        return "#ffffff"
    red, green, blue = (round(255 * share) for share in CHANNEL_COLOURS[number % len(CHANNEL_COLOURS)])
    return _hex((red, green, blue))


def _hex(colour: tuple[int, int, int]) -> str:
    """Return a colour as in CSS.

    >>> _hex((255, 140, 0))
    '#ff8c00'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)
