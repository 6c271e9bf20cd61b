"""Serving the page on this machine, with nothing that leaves it."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cmpc.engines.memory import give_back_unused_memory
from cmpc.errors import UsageError, UserError
from cmpc.processes import environment
from cmpc.web.examples import Example
from cmpc.web.names import Names
from cmpc.web.service import Service
from cmpc.web.visitor_files import VisitorFiles

if TYPE_CHECKING:
    import fastapi
    import uvicorn

STYLE = Path(__file__).with_name("style.css")
PORTS = range(7860, 7960)
"""Where the page listens, at the first that is free."""
_SERVER_THREAD, _WORKER_THREAD = "cmpc-web", "AnyIO worker thread"
"""Names of the thread that serves, and of those in which Gradio lets it answer."""
STOP_SECONDS = 30
"""How long work that is being done may go on when the page ends."""
_TIDY_SECONDS = 60
_SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Settings that gradio and the hub's library read from the environment; they must stand before gradio is imported."""


@contextmanager
def served(
    service: Service,
    examples: Sequence[Example] = (),
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allowed_hosts: Sequence[str] = (),
    root_path: str = "",
    open_browser: bool = False,
) -> Iterator[str]:
    """Serves the page while the ``with`` block runs; then ends what is being done and removes every photo and file.

    Args:
        service: what answers.
        examples: pictures to choose from.
        host: address to listen at; by default only this machine can reach the page.
        port: port to listen at; None for the first free one of ``PORTS``.
        allowed_hosts: names that the page goes by beside those of this machine.
        root_path: what a proxy has before the paths of the page, such as ``/cmpc``.
        open_browser: whether to open the page in the browser.

    Yields:
        Address of the page, such as ``http://127.0.0.1:7860/``.

    Raises:
        UsageError: a name or the root path is none.
        UserError: gradio is not installed, or the port is taken.
    """
    names, root_path = Names(host, tuple(allowed_hosts)), _checked_root_path(root_path)
    with (
        tempfile.TemporaryDirectory(prefix="cmpc-web-", ignore_cleanup_errors=True) as folder,
        environment(**_SILENT, GRADIO_TEMP_DIR=folder),
    ):
        try:
            import gradio  # noqa: F401
            import uvicorn
        except ImportError:
            raise UserError("the page needs gradio: install it with pip install 'cmpc[web]'.") from None
        from cmpc.web.guard import Guard

        files = VisitorFiles(Path(folder), service.limits.folder_megabytes * 1_000_000)
        application = _application(service, files, examples, root_path)
        files.keep_present()
        guard = Guard(application, names=names, limits=service.limits, files=files, root_path=root_path)
        with _listening(host, port) as listener:
            number = listener.getsockname()[1]
            config = uvicorn.Config(
                guard,
                log_level="critical",  # failures are answered with sentences
                access_log=False,
                ws="none",
                timeout_graceful_shutdown=2,  # the connections of open pages never end by themselves
                server_header=False,
            )
            with _running(uvicorn.Server(config), listener, service), _tidying(files):
                address = f"http://{_shown(host)}:{number}/"
                if open_browser:
                    webbrowser.open(address)
                yield address


def _application(service: Service, files: VisitorFiles, examples: Sequence[Example], root_path: str) -> fastapi.FastAPI:
    """The page as an ASGI application."""
    import fastapi
    import gradio as gr
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    from cmpc.web.downloads import Downloads
    from cmpc.web.page import build_page

    def not_understood(_: fastapi.Request, error: Exception) -> JSONResponse:
        sentence = "the request is not of the form that is taken here: the page says it at Use via API."
        return JSONResponse({"detail": sentence}, status_code=422)

    page = build_page(service, Downloads(files), examples)
    page.queue(default_concurrency_limit=service.limits.waiting + 2, max_size=8 * service.limits.waiting)
    page.state_session_capacity = 500
    application = gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        "/",
        root_path=root_path,
        app_kwargs={"exception_handlers": {RequestValidationError: not_understood}},
        allowed_paths=[str(example.photo.resolve()) for example in examples],
        footer_links=["api", "settings"],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=service.limits.file_megabytes * 1_000_000,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
            # the default greys are too pale to read
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_300",
            block_info_text_color="*neutral_600",
            block_info_text_color_dark="*neutral_300",
        ),
        css_paths=STYLE,
    )
    page.has_launched = True  # from now on Gradio takes no files but uploaded ones
    return application


@contextmanager
def _listening(host: str, port: int | None) -> Iterator[socket.socket]:
    """A socket that listens at the address, before anything is said to be there.

    Raises:
        UserError: the port is taken or not allowed, or there is no such address.
    """
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = None
    for number in PORTS if port is None else [port]:
        try:
            listener = socket.create_server((host, number), family=family, backlog=512)
            break
        except (OSError, OverflowError):
            continue
    if listener is None:
        where = host if port is None else f"{host}, port {port}"
        raise UserError(f"cannot listen at {where}: it is taken or not allowed here; choose another --port.")
    with listener:
        yield listener


@contextmanager
def _running(server: uvicorn.Server, listener: socket.socket, service: Service) -> Iterator[None]:
    """Runs a server in a thread of its own; at the end the work that is being done is waited for."""
    others = set(threading.enumerate())
    thread = threading.Thread(target=server.run, args=([listener],), name=_SERVER_THREAD, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
    try:
        yield
    finally:
        service.close()
        server.should_exit = True
        end = time.monotonic() + STOP_SECONDS
        thread.join(STOP_SECONDS)
        for worker in set(working_threads()) - others:  # the server may leave them alone
            worker.join(max(0.0, end - time.monotonic()))


def working_threads() -> list[threading.Thread]:
    """The threads that serve and answer. At the end of ``served`` there are some only when their work did not end in
    ``STOP_SECONDS``."""
    return [thread for thread in threading.enumerate() if thread.name in (_SERVER_THREAD, _WORKER_THREAD)]


@contextmanager
def _tidying(files: VisitorFiles) -> Iterator[None]:
    """Deletes old files and gives unused memory back, now and again."""
    ended = threading.Event()

    def tidy() -> None:
        while not ended.wait(_TIDY_SECONDS):
            files.make_room()
            give_back_unused_memory()

    thread = threading.Thread(target=tidy, name="cmpc-web-tidy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(STOP_SECONDS)


def _checked_root_path(root_path: str) -> str:
    root_path = root_path.rstrip("/")
    if root_path and (not root_path.startswith("/") or "//" in root_path or any(map(str.isspace, root_path))):
        raise UsageError(f"--root-path must be a path that begins with a slash, such as /cmpc, got {root_path!r}.")
    return root_path


def _shown(host: str) -> str:
    """A host in an address that a browser of this machine opens."""
    host = host.strip("[]")
    if host in ("0.0.0.0", "::", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host
