"""Views of images: sources that read from another source."""
