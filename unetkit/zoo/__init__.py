"""A name, a path or an address to a model, whatever program wrote it."""
