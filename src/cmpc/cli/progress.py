"""Progress of long work, on the terminal's standard error alone, and gone when the work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def progress_bar(counted: Literal["items", "bytes"] = "items", console: Console | None = None) -> Progress:
    """A bar for each task with its description, how much is done and the time that is left; nothing without a terminal.

    Args:
        counted: what tasks count: ``items`` shows ``3/10``, ``bytes`` shows ``3/10 MB``.
        console: where else lines are printed meanwhile; by default a new one on standard error.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = console or Console(stderr=True)
    done = MofNCompleteColumn() if counted == "items" else DownloadColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), done, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
