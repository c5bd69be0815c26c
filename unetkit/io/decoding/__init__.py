"""Encoded pieces of files to pixels: each is decoded once."""
