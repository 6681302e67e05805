"""Builders `(rng, ...) -> Thing` of the things around a foreground, by theme.

Things have real-world size, stand on z = 0 and face -y. The height of a top on which a small foreground may
stand is a constant beside the builder.
"""
