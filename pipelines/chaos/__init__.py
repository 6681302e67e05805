"""Fault-injection scenarios: a run is broken in every known way, on a cluster of its own, and checked."""
