"""Configuration of training runs."""
