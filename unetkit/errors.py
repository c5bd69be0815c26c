"""Errors that users of the Python interface catch: their public names."""

from unetkit.foundation.errors import (
    ConfigError,
    DataError,
    ImageError,
    ModelError,
    OutputError,
    UnetkitError,
)

__all__ = [
    "ConfigError",
    "DataError",
    "ImageError",
    "ModelError",
    "OutputError",
    "UnetkitError",
]
