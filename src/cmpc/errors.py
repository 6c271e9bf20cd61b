"""The two kinds of error that a user can mend, and a warning; everything else is a fault of this program."""

from __future__ import annotations


class UserError(Exception):
    """Work that failed for a reason the user can mend: a missing image, a broken mask, a damaged checkpoint.

    The message is one sentence: what is wrong, where, and how to mend it. The command line prints it after the name of
    the command and exits with status 1, without a traceback (``--debug`` shows it).
    """


class UsageError(UserError):
    """A request that cannot be meant: contradictory options, an unknown split. The command line exits with status 2."""


class CutExpressionWarning(UserWarning):
    """An expression has more words than the network reads. The command line and the page say it in their own way."""
