"""Background servers of the quickstart and the tests: an object store and MLflow."""
