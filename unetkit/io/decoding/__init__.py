"""Encoded pieces of a file to pixels, each decoded once."""
