"""Pixels for the screen, contours, and pages that hold them."""
