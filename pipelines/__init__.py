"""The training system around the core library: storage, Ray, MLflow, commands."""
