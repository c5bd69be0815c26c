"""TIFF in all its dialects: read and written."""
