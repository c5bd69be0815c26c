"""Annotations: objects that people drew as outlines, and the masks that they stand for."""
