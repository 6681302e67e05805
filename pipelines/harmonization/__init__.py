"""Harmonizing the pictures of a folder, at full size and over a cluster."""
