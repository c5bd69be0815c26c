"""What the values of a mask mean."""
