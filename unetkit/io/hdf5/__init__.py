"""HDF5: arrays with names in a file."""
