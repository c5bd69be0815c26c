"""Settings of the verbs that train, without PyTorch: what they are, their help, and what a command gave."""
