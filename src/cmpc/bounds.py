"""Checks the fields of a dataclass by their own types and bounds."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal

from cmpc.errors import UserError


class OutOfBounds(UserError):
    """A value that a field cannot have: ``image.size must be a whole number from 32 to 4,096, got -1``."""


@dataclass(frozen=True)
class Between:
    """Bounds of a number, or of each number of a tuple: ``size: Annotated[int, Between(32, 4096)] = 320``."""

    least: float
    """The least value."""
    most: float
    """The greatest one."""


def check_fields(config: Any) -> None:
    """Refuses a dataclass of which a field has a value of another type, or beyond its bounds.

    Types may be ``bool``, ``int``, ``float``, ``Literal``, tuples of a fixed length, ``X | None``, and dataclasses,
    alone or in a union. The class may have a ``part``: what comes before the names of its fields in errors.

    Raises:
        OutOfBounds: says which field, what it must be, and what it is.
    """
    own: Any = type(config)
    part = getattr(own, "part", None)
    for name, kind in _kinds(own).items():
        value = getattr(config, name)
        if not _fits(value, kind):
            where = name if part is None else f"{part}.{name}"
            raise OutOfBounds(f"{where} must be {_described(kind)}, got {shortened(value)}")


def shortened(value: object) -> str:
    """A value as Python writes it, not too long for a sentence."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # numbers of more than 4,300 digits, lists in lists in lists
        text = f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= 60 else f"{text[:57]}..."


@functools.cache
def _kinds(config: type) -> dict[str, Any]:
    """The type of each field."""
    hints = typing.get_type_hints(config, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(config)}


def _fits(value: Any, kind: Any, bounds: Between | None = None) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _fits(value, inner[0], next((one for one in inner[1:] if isinstance(one, Between)), bounds))
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one, bounds) for one in inner)
    if origin is tuple:
        return (
            isinstance(value, tuple)
            and len(value) == len(inner)
            and all(_fits(one, element, bounds) for one, element in zip(value, inner, strict=True))
        )
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if kind is int or kind is float:
        if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
            return False
        number: Any = value
        finite = isinstance(value, Integral) or math.isfinite(number)
        return finite and (bounds is None or bounds.least <= number <= bounds.most)
    return isinstance(value, kind)


def _described(kind: Any, bounds: Between | None = None) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _described(inner[0], next((one for one in inner[1:] if isinstance(one, Between)), bounds))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_described(one, bounds) for one in inner)
    if origin is tuple:
        return f"{len(inner)} values, each {_described(inner[0], bounds)}"
    if origin is Literal:
        *before, last = map(str, inner)
        return f"{', '.join(before)} or {last}" if before else last
    if kind is int or kind is float:
        number = "a whole number" if kind is int else "a number"
        return number if bounds is None else f"{number} from {bounds.least:,} to {bounds.most:,}"
    return {bool: "true or false", types.NoneType: "null"}.get(kind, kind.__name__)
