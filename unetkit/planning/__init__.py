"""From a data set and a machine to the settings of a training run, with a reason for each, and what to beware of."""
