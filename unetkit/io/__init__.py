"""Pixels in and out: image files read window by window and written row by row."""
