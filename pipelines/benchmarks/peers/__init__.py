"""Other ways to feed a training loop, measured on the same pictures in the same store: see `__main__.py`."""
