"""A model behind HTTP: a front that checks requests, and replicas of Ray Serve that harmonize."""
