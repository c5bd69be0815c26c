"""Tables and outlines of the objects of label images: the verbs `measure` and `export`."""
