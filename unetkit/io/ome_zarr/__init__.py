"""OME-Zarr: read and written."""
