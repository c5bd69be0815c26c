"""Windows through the models: threads, batches, ensembles."""
