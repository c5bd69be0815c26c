"""Files of microscopes, read by the libraries of the extra `formats`."""
