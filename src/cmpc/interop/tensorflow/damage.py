"""How the readers of this folder say that a file is not what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmpc.errors import UserError


class DamageError(Exception):
    """The bytes at hand contradict the format; the message says how, without naming the file."""


class UnsupportedError(Exception):
    """The file is sound, but of a kind that the readers do not take; the message completes "<file> ..."."""


@contextmanager
def damage_reported_for(path: Path) -> Iterator[None]:
    """Turns what can go wrong while ``path`` is read into one sentence that names it.

    Raises:
        UserError: the file is damaged or unsupported (the errors above, inside), or it cannot be read.
    """
    try:
        yield
    except DamageError as error:
        raise UserError(f"{path} is damaged ({error}): copy or download it again.") from error
    except UnsupportedError as error:
        raise UserError(f"{path} {error}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
