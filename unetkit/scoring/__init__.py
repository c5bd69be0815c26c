"""How well predicted masks and labels agree with the true ones."""
