"""Rows of pixels to a file: regrouped, encoded in threads, and kept for a run that is killed."""
