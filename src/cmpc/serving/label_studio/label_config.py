"""Which labels a project of Label Studio has, and for which image."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from cmpc.errors import UserError

CONTROLS = {"BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels"}


@dataclass(frozen=True)
class LabelConfig:
    """What the XML of a project says that a model needs."""

    control: str
    """Name of the control tag."""
    kind: str
    """``brushlabels`` or ``polygonlabels``."""
    image: str
    """Name of the image tag."""
    field: str
    """Field of a task's data that holds the image."""
    labels: dict[str, str]
    """Label -> what to look for: its hint, or the label itself."""


def read_label_config(text: str) -> LabelConfig:
    """Reads a project's labelling interface.

    Raises:
        UserError: it is not XML, or has no brush or polygon labels for an image.
    """
    if "<!" in text.replace("<!--", ""):  # entities, which a small text could fill the memory with
        raise UserError("the label config has a document type: leave it out.")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        raise UserError("the label config is not XML.") from None
    images = {tag.get("name", ""): tag.get("value", "") for tag in root.iter("Image")}
    for tag in root.iter():
        image = tag.get("toName", "")
        if tag.tag in CONTROLS and image in images and images[image].startswith("$"):
            values = [(label.get("value", ""), label.get("hint", "")) for label in tag.iter("Label")]
            labels = {value: hint or value for value, hint in values if value}
            if labels:
                return LabelConfig(tag.get("name", ""), CONTROLS[tag.tag], image, images[image][1:], labels)
    raise UserError(
        "the label config has no <BrushLabels> or <PolygonLabels> with labels for an <Image> whose value is a field, "
        "such as $image."
    )
