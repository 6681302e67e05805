"""CharmNet: image harmonization across the real and the rendered domain. Needs torch, no Ray, no MLflow."""
