"""Checks of an image and of a result: seams, empty tiles, and whether the image is of the models' domain."""
