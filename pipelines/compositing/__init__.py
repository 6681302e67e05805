"""Composites of rendered scenes and of photographs, as pair shards or as files."""
