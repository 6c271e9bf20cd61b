"""What visitors send is theirs: the page's machine fetches nothing for them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like, traverse


class UploadsOnly(gr.Blocks):
    """A page that takes uploaded files and no web addresses.

    Gradio itself refuses files of the machine that were not uploaded, but fetches an address that stands in the place
    of a file, in whichever argument, even where text is expected.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any) -> list[Any]:
        """The arguments of a request as its function takes them; called by Gradio.

        Raises:
            gradio.Error: one of them names a web address in the place of a file.
        """
        traverse(inputs, _refuse, _is_address)
        processed: list[Any] = await super().preprocess_data(block_fn, inputs, *arguments, **options)
        return processed


def _is_address(value: Any) -> bool:
    return isinstance(value, dict) and is_http_url_like(str(value.get("path", "")))


def _refuse(_: Any) -> None:
    raise gr.Error(
        "this page fetches no photos from the web: give the file itself, handle_file('photo.jpg').",
        print_exception=False,
    )
