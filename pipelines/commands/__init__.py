"""The commands of `charmnet`: each parses its options, calls a library and prints."""
