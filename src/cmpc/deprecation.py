"""Says in time what a later version will not take any more; docs/deprecations.md says the rules and lists all of it."""

from __future__ import annotations

import warnings

_told: set[str] = set()
"""What was said in this process."""


class DeprecatedWarning(FutureWarning):
    """Something works still and will not in the version that is named. Commands print it as a sentence."""


def warn_deprecated(what: str, *, removed_in: str, instead: str, stacklevel: int = 1) -> None:
    """Warns that something will not be taken any more, once in a process.

    Args:
        what: what is deprecated, as the beginning of a sentence: ``the model folder runs/old of format 1``.
        removed_in: the first version without it, such as ``2.0``.
        instead: what to do, as the end of the sentence.
        stacklevel: whose line the warning names: 1 for the one that calls this function, 2 for its caller.
    """
    if what in _told:
        return
    _told.add(what)
    sentence = f"{what} is not taken any more from version {removed_in} on: {instead}."
    warnings.warn(sentence, DeprecatedWarning, stacklevel=stacklevel + 1)
