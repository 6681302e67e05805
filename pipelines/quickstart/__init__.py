"""Data that `charmnet quickstart` works on."""
