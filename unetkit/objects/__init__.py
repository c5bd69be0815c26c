"""Objects of label images, one after another: their pixels, measurements and outlines."""
