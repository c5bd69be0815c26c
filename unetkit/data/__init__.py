"""Images and masks in: pairs of files, crops, augmentation, and the loaders that training takes."""
