"""Training on images without masks: to restore them."""
