"""Training on labels of whole images, without masks."""
