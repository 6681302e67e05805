"""The plant around the science: storage, Ray, MLflow, commands."""

from pipelines.runtime.cluster import prepare_environment

prepare_environment()
