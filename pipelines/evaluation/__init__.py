"""Measuring how well a method harmonizes: images, their errors, sums by group, work over a cluster."""
