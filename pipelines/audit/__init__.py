"""Audit: comparison of what a run's workers logged with the plan."""
