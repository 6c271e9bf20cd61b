"""What visitors send is checked before it is used: uploaded files, texts and numbers, and nothing else."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from gradio_client.utils import is_http_url_like, traverse

from cmpc.arguments import shown
from cmpc.web import texts


class UploadsOnly(gr.Blocks):
    """A page that takes uploaded files and no web addresses, and answers every wrong argument with a sentence.

    Gradio itself fetches an address that stands in the place of a file, in whichever argument, even where text is
    expected; and what its components cannot read it answers with nothing, and a traceback in the terminal.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any) -> list[Any]:
        """The arguments of a request as its function takes them; called by Gradio.

        Raises:
            gradio.Error: one of them is not of the kind that is taken, or there are too few.
        """
        try:
            _check(block_fn.inputs, inputs)
            processed: list[Any] = await super().preprocess_data(block_fn, inputs, *arguments, **options)
        except gr.Error as error:
            raise _error(str(error.message)) from None
        except Exception:
            raise _error(f"these arguments are not what is taken here: {_wanted(block_fn.inputs)}.") from None
        return processed

    async def process_api(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """One request from its arguments to its answer; called by Gradio.

        Raises:
            gradio.Error: it did not work; faults of this program are told in the terminal.
        """
        try:
            answer: dict[str, Any] = await super().process_api(*arguments, **options)
        except gr.Error:
            raise
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            raise _error(texts.FAULT) from None
        return answer


def _check(components: list[Any], inputs: list[Any]) -> None:
    """Refuses arguments of another kind than the components hold."""
    traverse(inputs, _refuse_address, _is_address)
    if len(inputs) < len(components):
        raise _error(
            f"this takes {len(components)} arguments but got {len(inputs)}: in this order {_wanted(components)}."
        )
    for component, value in zip(components, inputs, strict=False):
        kind = _kind(component)
        if kind is not None and not _fits(component, value):
            raise _error(f"{_name(component)} must be {kind}, got {shown(value)}.")


def _kind(component: Any) -> str | None:
    """What a component holds, in words; None where anything may come."""
    if isinstance(component, gr.Image):
        return "a file that was uploaded before: handle_file('photo.jpg')"
    if isinstance(component, gr.Number | gr.Slider):
        return "a number"
    if isinstance(component, gr.Textbox | gr.Dropdown | gr.Radio):
        return "a text"
    return None


def _fits(component: Any, value: Any) -> bool:
    if isinstance(component, gr.Image):
        return value is None or (isinstance(value, dict) and _is_uploaded(value.get("path")))
    if isinstance(component, gr.Number | gr.Slider):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or isinstance(value, str)


def _is_uploaded(path: Any) -> bool:
    if not isinstance(path, str):
        return False
    try:
        return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (OSError, ValueError):
        return False


def _wanted(components: list[Any]) -> str:
    return ", ".join(f"{_name(component)} ({kind})" for component in components if (kind := _kind(component)))


def _name(component: Any) -> str:
    """The name of an argument: what its label says first."""
    return f"the argument {re.split('[,;]', str(component.label))[0].lower()!r}"


def _is_address(value: Any) -> bool:
    return isinstance(value, dict) and is_http_url_like(str(value.get("path", "")))


def _refuse_address(_: Any) -> None:
    raise _error("this page fetches no photos from the web: give the file itself, handle_file('photo.jpg').")


def _error(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)
