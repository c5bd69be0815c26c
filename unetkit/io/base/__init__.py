"""What an image is: contracts, axes, channels, units, series, and what of them is read."""
