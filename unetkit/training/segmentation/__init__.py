"""Training on masks."""
