"""A page to try a model in the browser: photos in, masks and the staged picture out. Nothing leaves this machine.

cmpc web --open
cmpc web --model MODEL
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

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
    open: bool = False
    """Open the page in the browser."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Exported models run on the CPU."""
    limits: Limits = field(default_factory=Limits)
    """What one visitor may ask for."""


def run(options: Options) -> None:
    """Serves the page until Ctrl-C or a signal to terminate; either way nothing of the visitors is left."""
    signal.signal(signal.SIGTERM, _stop)
    service = make_service(options)
    from rich.console import Console

    from cmpc.web.examples import read_examples
    from cmpc.web.server import served
    from cmpc.weights import DEFAULT_MODEL, SHIPPED_EXAMPLES

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    shipped = None if options.models is not None else SHIPPED_EXAMPLES.get(options.model or DEFAULT_MODEL)
    folder = options.examples or shipped
    examples = read_examples(folder) if folder else []
    with served(service, examples, host=options.host, port=options.port, open_browser=options.open) as address:
        console.print(f"The page is at {address} (Ctrl-C ends it).")
        while True:
            time.sleep(3600)


def _stop(number: int, _: object) -> NoReturn:
    """Leaves by way of the ``with`` blocks, with the exit status of a program that the signal ended."""
    raise SystemExit(128 + number)


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
