"""What stands around a foreground: `(rng, ...) -> Thing` by theme, at real-world size, on z = 0, facing -y.

Whatever a small foreground may stand on names the height of its top as a constant beside its builder.
"""
