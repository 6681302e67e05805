"""A page in the browser, on this machine alone, to try a model on pictures of one's own."""
