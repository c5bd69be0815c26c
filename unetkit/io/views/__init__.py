"""An image seen as another: a source on a source."""
