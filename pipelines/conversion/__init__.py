"""Conversion of released data sets and image archives into shards."""
