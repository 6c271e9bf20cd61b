"""A page to try a model in the browser: photos in, masks and the staged picture out. Nothing leaves this machine.

cmpc web --open
cmpc web --model MODEL
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cmpc.engines.memory import few_arenas
from cmpc.errors import UsageError
from cmpc.web.limits import Limits

if TYPE_CHECKING:
    from cmpc.web.service import Service


@dataclass
class Options:
    """What to serve, and where."""

    model: str | None = None
    """Folder of the model, its name on the Hugging Face hub, or photos or blocks for those that ship; by default both
    of these."""
    models: Path | None = None
    """Folder with several model folders: the page lets one choose."""
    examples: Path | None = None
    """Folder with example pictures, each with its expressions, one a line, in a text file of the same name. The models
    that ship come with some."""
    host: str = "127.0.0.1"
    """Address to listen at: by default only this machine reaches the page; 0.0.0.0 lets others in."""
    port: int | None = None
    """Port to listen at; by default the first free one from 7860."""
    allow_host: tuple[str, ...] = ()
    """Further names that the page goes by, of a proxy before it for example: page.example.org. Requests under other
    names, and those of other pages, are refused."""
    root_path: str = ""
    """What a proxy has before the paths of the page, such as /cmpc for https://page.example.org/cmpc/."""
    open: bool = False
    """Open the page in the browser."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Exported models run on the CPU."""
    limits: Limits = field(default_factory=Limits)
    """What one visitor may ask for."""


def run(options: Options) -> None:
    """Serves the page until Ctrl-C or a signal to terminate; either way nothing of the visitors is left."""
    few_arenas()
    service = make_service(options)
    from rich.console import Console

    from cmpc.web.examples import read_examples
    from cmpc.web.server import served, working_threads
    from cmpc.weights import DEFAULT_MODEL, SHIPPED_EXAMPLES

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    shipped = None if options.models is not None else SHIPPED_EXAMPLES.get(options.model or DEFAULT_MODEL)
    folder = options.examples or shipped
    examples = read_examples(folder) if folder else []
    with (
        _noted_signals() as noted,
        served(
            service,
            examples,
            host=options.host,
            port=options.port,
            allowed_hosts=options.allow_host,
            root_path=options.root_path,
            open_browser=options.open,
        ) as address,
    ):
        console.print(f"The page is at {address} (Ctrl-C ends it).")
        noted.wait()
    status = 130 if noted.number == signal.SIGINT else 0
    if working_threads():
        os._exit(status)  # they compute without end: Python would be aborted by them
    if status:
        raise KeyboardInterrupt


class _Noted:
    """The first signal that asked for the end."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._came = threading.Event()

    def note(self, number: int, _: object) -> None:
        """Handles a signal; further ones change nothing, as the end is bounded in time."""
        self.number = self.number or number
        self._came.set()

    def wait(self) -> None:
        """Returns when one came."""
        while not self._came.wait(1):  # a wait without end cannot be interrupted on every system
            pass


@contextmanager
def _noted_signals() -> Iterator[_Noted]:
    """Notes signals instead of dying of them. In threads other than the main one there are none."""
    noted, before = _Noted(), {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                number = getattr(signal, name)
                before[number] = signal.signal(number, noted.note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def make_service(options: Options) -> Service:
    """What stands behind the page; the first model is loaded, so that a damaged one is named at once.

    Raises:
        UsageError: there are both ``--model`` and ``--models``, or the name of the model is empty.
        UserError: there is no such model, or it is damaged.
    """
    if options.model is not None and options.models is not None:
        raise UsageError("give either --model MODEL or --models FOLDER, a folder with several models.")
    from cmpc.web.models import Models, models_in
    from cmpc.web.service import Service
    from cmpc.weights import SHIPPED_MODELS

    sources: dict[str, str | Path]
    if options.models is not None:
        sources = models_in(options.models)
    elif options.model is not None:
        sources = {Path(options.model).name or options.model: options.model}
    else:
        sources = dict(SHIPPED_MODELS)
    models = Models(sources, options.device)
    models.load(models.names[0])
    return Service(models, options.limits)
