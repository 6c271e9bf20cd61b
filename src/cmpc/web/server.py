"""Serving the page on this machine, with nothing that leaves it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cmpc.errors import UserError
from cmpc.processes import environment
from cmpc.web.examples import Example
from cmpc.web.service import Service

STYLE = Path(__file__).with_name("style.css")
_SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Settings that gradio and the hub's library read from the environment; they must stand before gradio is imported."""

_CUT_OFF = 5
"""Files larger than this many times the limit are cut off while they arrive; smaller ones get the limit's sentence."""


@contextmanager
def served(
    service: Service,
    examples: Sequence[Example] = (),
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
) -> Iterator[str]:
    """Serves the page while the ``with`` block runs, and removes every photo and file afterwards.

    Args:
        service: what answers.
        examples: pictures to choose from.
        host: address to listen at; by default only this machine can reach the page.
        port: port to listen at; None for the first free one from 7860.
        open_browser: whether to open the page in the browser.

    Yields:
        Address of the page, such as ``http://127.0.0.1:7860/``.

    Raises:
        UserError: gradio is not installed, or the port is taken.
    """
    with (
        tempfile.TemporaryDirectory(prefix="cmpc-web-", ignore_cleanup_errors=True) as folder,
        environment(**_SILENT, GRADIO_TEMP_DIR=str(Path(folder) / "uploads")),
    ):
        try:
            import gradio as gr
        except ImportError:
            raise UserError("the page needs gradio: install it with pip install 'cmpc[web]'.") from None
        from cmpc.web.downloads import Downloads
        from cmpc.web.page import build_page

        results = Path(folder) / "results"
        results.mkdir()
        page = build_page(service, Downloads(results), examples)
        page.queue(default_concurrency_limit=service.limits.waiting + 2, max_size=8 * service.limits.waiting)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                inbrowser=open_browser,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                mcp_server=False,
                enable_monitoring=False,
                run_history=False,
                max_file_size=_CUT_OFF * service.limits.file_megabytes * 1_000_000,
                allowed_paths=[str(example.photo.resolve()) for example in examples],
                footer_links=["api", "settings"],
                theme=gr.themes.Default(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
                ).set(  # the default greys are too pale to read
                    body_text_color_subdued="*neutral_600",
                    body_text_color_subdued_dark="*neutral_300",
                    block_info_text_color="*neutral_600",
                    block_info_text_color_dark="*neutral_300",
                ),
                css_paths=STYLE,
            )
        except OSError:  # whose wording names settings of gradio
            where = host if port is None else f"{host}, port {port}"
            raise UserError(
                f"cannot listen at {where}: it is taken or not allowed here; choose another --port."
            ) from None
        try:
            yield address
        finally:
            page.close(verbose=False)
