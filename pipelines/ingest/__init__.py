"""Ingest: from shards to the workers' global batches, by a plan that nothing but its inputs decides."""
