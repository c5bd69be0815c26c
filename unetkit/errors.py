"""Errors that users of the Python interface catch: their public names."""

from unetkit.foundation.errors import (
    ClusterError,
    ConfigError,
    DataError,
    ImageError,
    ModelError,
    OutputError,
    UnetkitError,
)

__all__ = [
    "ClusterError",
    "ConfigError",
    "DataError",
    "ImageError",
    "ModelError",
    "OutputError",
    "UnetkitError",
]
