"""The overview page of `segment`: what was found in each image, to be seen at a glance."""
