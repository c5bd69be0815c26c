"""What all training shares: the network in training, its run folder, its time, its checkpoints, its folds."""
