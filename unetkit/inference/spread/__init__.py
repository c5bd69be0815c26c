"""`segment` on a cluster: images and blocks of images to workers, and one result of what they give back."""
