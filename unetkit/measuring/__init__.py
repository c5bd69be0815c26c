"""Tables of the objects of label images: the verb `measure`."""
