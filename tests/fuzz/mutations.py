"""Damage to the bytes of a file."""

from __future__ import annotations

import random
from collections.abc import Callable

TOKENS = (
    *(b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b'"a"', b"[[", b"}", b"\n", b","),
    *(b"9" * 30, b"9" * 5000, b"[" * 2000, b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"../../x", b"<pad>"),
    *(b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff" * 8, b"\x80\x02", b"c__builtin__\neval\n"),
)
"""Pieces that readers often take for something."""


def mutate(content: bytes, generator: random.Random) -> bytes:
    """The content with one to four damages of random kinds."""
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        content = generator.choice(_DAMAGES)(content, generator)
    return content


def _place(content: bytes, generator: random.Random) -> int:
    """More often near the begin and the end, where headers and tables stand."""
    size = len(content)
    near = min(size, 64)
    return generator.choice(
        (generator.randint(0, size), generator.randint(0, near), generator.randint(size - near, size))
    )


def _flip(content: bytes, generator: random.Random) -> bytes:
    changed = bytearray(content or b"\x00")
    changed[min(_place(content, generator), len(changed) - 1)] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, generator: random.Random) -> bytes:
    start, token = _place(content, generator), generator.choice(TOKENS)
    return content[:start] + token + content[start + len(token) :]


def _insert(content: bytes, generator: random.Random) -> bytes:
    start = _place(content, generator)
    return content[:start] + generator.choice(TOKENS) + content[start:]


def _replace_value(content: bytes, generator: random.Random) -> bytes:
    """Puts a piece in the place of what stands between two separators of a text."""
    start = content.find(generator.choice((b":", b",", b"[", b" ", b"\n")), _place(content, generator))
    if start < 0:
        return _insert(content, generator)
    ends = [end for mark in (b",", b"}", b"]", b" ", b"\n") if (end := content.find(mark, start + 1)) > 0]
    return content[: start + 1] + generator.choice(TOKENS) + content[min(ends, default=len(content)) :]


def _remove(content: bytes, generator: random.Random) -> bytes:
    start = _place(content, generator)
    return content[:start] + content[start + generator.choice((1, 2, 4, 16, 256)) :]


def _repeat(content: bytes, generator: random.Random) -> bytes:
    start = _place(content, generator)
    piece = content[start : start + generator.choice((1, 4, 64, 1024))]
    return content[:start] + piece * generator.choice((2, 3, 50)) + content[start:]


def _cut(content: bytes, generator: random.Random) -> bytes:
    return content[: _place(content, generator)]


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _overwrite, _insert, _replace_value, _replace_value, _remove, _repeat, _cut),
)
