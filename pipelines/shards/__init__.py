"""The format of a data set: rows, parquet and tar shards, and the manifest that describes them."""
