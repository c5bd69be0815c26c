"""Geometry: grids, halos and windows, and the options that choose them."""
