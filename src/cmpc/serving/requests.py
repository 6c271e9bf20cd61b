"""Reads the bodies of requests: JSON with the photo in base64, or a form with the photo as a file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from fastapi import HTTPException, Request
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from cmpc.data.images import image_size, read_image
from cmpc.errors import UserError
from cmpc.web.limits import RequestLimits

Body = TypeVar("Body", bound=BaseModel)

FORM, JSON = "multipart/form-data", "application/json"
NOT_JSON = "the body is not JSON."


async def read_request(request: Request, body: type[Body]) -> tuple[Body, bytes]:
    """What is asked, and the bytes of the photo.

    Raises:
        HTTPException: 415 for another kind of body, 400 for one that cannot be parsed, 422 for one of other fields.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        values, photo = await _read_form(request, body)
    elif kind == JSON:
        values, photo = await _read_json(request), None
    else:
        raise HTTPException(415, f"send {FORM} with the photo as a file, or {JSON} with the photo in base64.")
    try:
        asked = body.model_validate(values)
    except ValidationError as error:
        raise HTTPException(422, sentence_of(error.errors())) from None
    if photo is None:
        try:
            photo = base64.b64decode(values["photo"], validate=True)
        except (binascii.Error, ValueError):
            raise HTTPException(422, "photo: it is not base64.") from None
    return asked, photo


def decode_photo(data: bytes, limits: RequestLimits) -> NDArray[np.uint8]:
    """The pixels of a photo, upright, RGB, uint8, (H, W, 3).

    Raises:
        UserError: it is too large, no image, or damaged.
    """
    limits.check_file(len(data))
    limits.check_pixels(*image_size(data, name="you gave"))
    try:
        return read_image(data, exif_rotation=True)
    except UserError:
        raise UserError("the image you gave is damaged: its pixels cannot be decoded.") from None


def sentence_of(errors: Sequence[Any]) -> str:
    """The first of pydantic's errors as a sentence: which field, and what is wrong with it."""
    where = ".".join(str(part) for part in errors[0]["loc"] if part != "body")
    what = str(errors[0]["msg"])
    return f"{where or 'the body'}: {what[:1].lower()}{what[1:]}."


async def _read_form(request: Request, body: type[BaseModel]) -> tuple[dict[str, Any], bytes]:
    form = await request.form(max_files=1, max_fields=100)
    values: dict[str, Any] = {}
    photo = None
    for name in form:
        parts = form.getlist(name)
        if name == "photo" and isinstance(parts[0], UploadFile):
            photo = await parts[0].read()
            continue
        texts = [part for part in parts if isinstance(part, str)]
        several = name == "expressions"  # a field each, or one a line
        values[name] = [line for text in texts for line in text.splitlines() if line.strip()] if several else texts[0]
    if photo is None:
        raise HTTPException(422, "photo: give the photo as a file of the form.")
    values["photo"] = "file"  # which has the place of the text in base64
    return values, photo


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        values = await request.json()
    except (ValueError, RecursionError):
        raise HTTPException(400, NOT_JSON) from None
    if not isinstance(values, dict):
        raise HTTPException(422, "the body is not a JSON object.")
    return values
