"""From masks to objects."""
