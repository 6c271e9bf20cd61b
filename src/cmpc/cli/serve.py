"""A model behind HTTP, for programs: a photo and expressions in, masks out. Its page /docs describes the addresses.

cmpc serve --model MODEL
curl -F photo=@photo.jpg -F expressions="the left man" http://127.0.0.1:8000/segment
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cmpc.errors import UsageError, UserError
from cmpc.web.limits import RequestLimits
from cmpc.web.names import Names


@dataclass
class Options:
    """What to serve, and where."""

    model: str | None = None
    """Folder of the model, its name on the Hugging Face hub, or photos or blocks for those that ship; by default
    photos."""
    host: str = "127.0.0.1"
    """Address to listen at: by default only this machine reaches the server; 0.0.0.0 lets others in."""
    port: int = 8000
    """Port to listen at."""
    allow_host: tuple[str, ...] = ()
    """Names that others reach the server by, as in http://NAME/. On an address of this machine alone its own names are
    allowed; elsewhere any, unless some are given."""
    batch: int = 8
    """Most photos that the network sees at once, where several requests wait."""
    label_studio_url: str | None = None
    """Address of a Label Studio that takes this server as its ML backend, by default that of the environment variable
    LABEL_STUDIO_URL: photos of its tasks are fetched from there and from nowhere else, with the access token of the
    environment variable LABEL_STUDIO_API_KEY."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Exported models run on the CPU."""
    limits: RequestLimits = field(default_factory=lambda: RequestLimits(waiting=64))
    """What one request may ask for."""


def run(options: Options) -> None:
    """Serves until Ctrl-C or a signal to terminate."""
    if options.batch < 1:
        raise UsageError(f"--batch must be at least 1, got {options.batch}.")
    if not 0 <= options.port < 65536:
        raise UsageError(f"--port must lie between 0 and 65535, got {options.port}.")
    Names(options.host, options.allow_host)  # says what is no name
    label_studio = _label_studio_url(options)
    from rich.console import Console

    try:
        from cmpc.serving.app import make_app
        from cmpc.serving.batching import BatchingWorker
        from cmpc.serving.label_studio.task_photos import TaskPhotos
        from cmpc.serving.metrics import Metrics
        from cmpc.serving.server import listening, serve
    except ImportError:
        raise UserError("the server needs some packages: install them with pip install 'cmpc[serve]'.") from None
    from cmpc.segmenter import Segmenter
    from cmpc.weights import DEFAULT_MODEL, DEFAULT_MODEL_KNOWS

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if options.model is None:
        console.print(DEFAULT_MODEL_KNOWS, style="yellow")
    segmenter = Segmenter.load(options.model, device=options.device)
    name = Path(options.model or DEFAULT_MODEL).name or str(options.model)
    metrics = Metrics()
    with (
        listening(options.host, options.port) as place,
        BatchingWorker(
            segmenter, waiting=options.limits.waiting, batch=options.batch, on_batch=metrics.count_batch
        ) as worker,
    ):
        app = make_app(
            worker,
            model_name=name,
            metrics=metrics,
            limits=options.limits,
            hosts=_hosts(options),
            label_studio=TaskPhotos(
                address=label_studio,
                token=os.environ.get("LABEL_STUDIO_API_KEY"),
                most_bytes=options.limits.file_megabytes * 1_000_000,
            ),
        )
        host, port = place.getsockname()[:2]
        console.print(f"Serving {name} at http://{host}:{port} (its addresses: /docs; Ctrl-C ends it).", markup=False)
        serve(app, place)


def _hosts(options: Options) -> set[str] | None:
    """The names that requests may come under; None for any."""
    from cmpc.serving.guard import LOOPBACK

    if options.host in ("127.0.0.1", "localhost", "::1"):
        return {*LOOPBACK, *map(str.lower, options.allow_host)}
    return set(map(str.lower, options.allow_host)) or None


def _label_studio_url(options: Options) -> str | None:
    """Address of Label Studio, by the option or the environment; None where neither names one."""
    name, address = "--label-studio-url", options.label_studio_url
    if address is None:
        name, address = "LABEL_STUDIO_URL", os.environ.get("LABEL_STUDIO_URL") or None
    if address is None:
        return None
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(f"{name} is one such as http://localhost:8080, not {address!r}.")
    return address
