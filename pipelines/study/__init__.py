"""Comparisons of methods and strategies: many runs from one file, and what is told of them."""
