"""The state of neuroglancer's viewer: what it shows at first, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuroglancer import CoordinateSpace

from unetkit.viewing.scene import UNITS, Scene

MARGIN = 1.05
"""The window is so many times as large as the whole image."""

BARS_HEIGHT = 70
"""Height of the bars above the picture, in pixels of the screen."""

HIDDEN_BUTTONS = ("show_tool_palette_button", "show_screenshot_button")
"""What those who look at a result do not need."""


def first_state(scene: Scene, layers: Sequence[dict[str, Any]], title: str) -> dict[str, Any]:
    """Return the state of a viewer that shows one plane from above.

    Args:
        scene: The space.
        layers: The layers as the viewer's JSON, the lowest first.
        title: Title of the page.
    """
    axes = (scene.x, scene.y, *scene.planes)
    space = CoordinateSpace(
        names=[axis.name for axis in axes],
        scales=[axis.size for axis in axes],
        units=[UNITS[axis.unit][1] for axis in axes],
    )
    middle = [scene.x.length / 2, scene.y.length / 2, *(place + 0.5 for place in scene.first_plane)]
    return {
        "title": title,
        "dimensions": space.to_json(),
        "displayDimensions": [axis.name for axis in scene.displayed],
        "position": middle,
        "layers": list(layers),
        "layout": "xy",
        "showAxisLines": False,
        "showDefaultAnnotations": False,
        "crossSectionBackgroundColor": "#101418",
        "selectedLayer": {"visible": False},
    }


def zoom_to_fit(scene: Scene, width: int, height: int) -> float:
    """Return the zoom at which the whole image fits into the window of a browser."""
    return MARGIN * scene.scale_to_fit(max(width, 100), max(height - BARS_HEIGHT, 100))


def configure(config: Any, scene: Scene) -> None:
    """Hide what is not needed; let the mouse wheel zoom where there is no stack to move through.

    Args:
        config: The configuration of neuroglancer's viewer, which is changed.
        scene: The space.
    """
    for name in HIDDEN_BUTTONS:
        setattr(config, name, False)
    config.show_panel_borders = False
    if not scene.planes:
        config.input_event_bindings.slice_view["at:wheel"] = "zoom-via-wheel"
