"""Training with Ray Train, from the driver to the loop of each worker."""
