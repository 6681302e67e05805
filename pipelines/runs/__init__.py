"""Training runs as they lie in storage."""
