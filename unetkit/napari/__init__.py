"""The plug-in for napari: a widget that segments layers, and a reader of large images."""
