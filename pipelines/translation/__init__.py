"""Translating the pictures of rendered scenes by a trained translator."""
