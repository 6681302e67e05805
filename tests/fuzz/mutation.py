"""Random changes that make almost valid inputs from valid ones, the same for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

# Numbers at which lengths, counts and offsets overflow.
_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("inf"), float("nan"), "", "..", "../x", "/x",
    "a\0b", "s3://other/x", "%2e%2e/x", "..\\x", "\ud800", "x" * 5000, [], {}, [[]], [None], {"": {}},
    {"0": [1, 1]}, ["x"],
)  # fmt: skip
_MOST_BYTES = 1 << 16

Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutate_bytes(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Make one to six changes: bits, bytes, numbers, tokens, pieces cut, doubled, moved or filled."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_CHANGES)(rng, changed, tokens)
    return bytes(changed[:_MOST_BYTES])


def mutate_json(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Change bytes or, mostly, replace values, drop keys and repeat lists so that it stays JSON."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, data, tokens)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _with_change(rng, value)
    return json.dumps(value).encode()


def _with_change(rng: random.Random, value: Any) -> Any:
    """Return a copy with a change at a random depth."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        if rng.random() < 0.1:
            return {**value, rng.choice(("-1", "x", "1.5", "", "9" * 30)): value[key]}
        return {**value, key: _with_change(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        index = rng.randrange(len(value))
        if rng.random() < 0.1:
            return [*value, *value]
        return [*value[:index], _with_change(rng, value[index]), *value[index + 1 :]]
    if isinstance(value, int) and rng.random() < 0.3:
        return value + rng.choice((-1, 1, 2**32))
    return rng.choice(_VALUES)


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _number(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    size = rng.choice((1, 2, 4, 8))
    if len(data) >= size:
        at = rng.randrange(len(data) - size + 1)
        value = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
        data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _token(rng: random.Random, data: bytearray, tokens: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    token = rng.choice(tokens) if tokens else rng.randbytes(rng.randrange(1, 9))
    data[at : at + rng.choice((0, len(token)))] = token


def _piece(rng: random.Random, data: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, 512, 4096)))


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _piece(rng, data)
    del data[start:end]


def _end(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _double(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _piece(rng, data)
    data[end:end] = data[start:end] * rng.choice((1, 1, 2, 50))


def _move(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _piece(rng, data)
    piece = data[start:end]
    del data[start:end]
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece


def _fill(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _piece(rng, data)
    data[start:end] = bytes([rng.choice((0, 0xFF, 0x20))]) * (end - start)


_CHANGES = (_flip, _flip, _set, _set, _number, _number, _token, _token, _cut, _end, _double, _move, _fill)
