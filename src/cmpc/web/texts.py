"""Sentences of the page and the small pieces of HTML around them; everything a visitor wrote is escaped."""

from __future__ import annotations

from collections.abc import Container, Sequence
from html import escape

from cmpc.answers.overlay import PALETTE
from cmpc.answers.prediction import Prediction
from cmpc.web.limits import Limits

TITLE = "Find it by saying it"
WELCOME = "Give a photo and say what to look for."
FAULT = "this did not work because of a fault of the program: the terminal it runs in says more."
NOTHING_TO_CUT_OUT = "Nothing was found, so there is nothing to cut out: try other words or a lower threshold."
_CHOSEN = ' class="chosen" aria-current="true"'


def heading() -> str:
    """Title and what the page does."""
    return (
        f"<h1>{TITLE}</h1>"
        "<p>Give a photo and say what to look for, as you would to a person: “the cup behind the laptop”. "
        "The photo stays on the machine that runs this page.</p>"
    )


def limits(given: Limits) -> str:
    """What the page takes."""
    return (
        f"<p>Photos of at most {given.file_megabytes} MB and {given.megapixels} megapixels; {given.expressions} "
        f"expressions of {given.characters} characters at once; {given.seconds} seconds a request. "
        "Uploaded files are deleted after an hour.</p>"
    )


def note(sentence: str) -> str:
    """A message, as HTML."""
    return f'<p role="status" class="note">{escape(sentence)}</p>'


def error(sentence: str) -> str:
    """A message that something did not work, as HTML."""
    return f'<p role="alert" class="error">{escape(capitalised(sentence))}</p>'


def found(predictions: Sequence[Prediction]) -> str:
    """How many expressions were found, and which words the model does not know or does not read, as a message."""
    count = sum(prediction.area > 0 for prediction in predictions)
    number = "" if len(predictions) == 1 else f"{count} of {len(predictions)} "
    sentence = f"Found {number}".strip() + "." if count else "Nothing found: try other words or a lower threshold."
    if predictions and all(prediction.is_absent for prediction in predictions):
        sentence = f"{capitalised('; '.join(map(_result, predictions)))}."
    unknown = dict.fromkeys(word for prediction in predictions for word in prediction.unknown_words)
    if unknown:
        names = ", ".join(f"“{word}”" for word in unknown)
        sentence += f" The model does not know {names} and answers without."
    for prediction in predictions:
        if prediction.cut_words:
            sentence += f" The model reads only the first {len(prediction.words)} words of “{prediction.expression}”."
    return note(sentence)


def here(predictions: Sequence[Prediction]) -> str:
    """What was asked for where a visitor clicked, as a message: the predictions whose masks lie there."""
    if not predictions:
        return note("No mask lies here: click on a coloured place to see what it answers.")
    return note(f"Here: {'; '.join(f'“{one.expression}”, {_result(one)}' for one in predictions)}.")


def legend(predictions: Sequence[Prediction], chosen: Container[int] = ()) -> str:
    """Colour, expression, score and size of each mask, as an HTML list.

    Args:
        predictions: in the order of the palette.
        chosen: numbers of those that stand out.
    """
    lines = [
        f"<li{_CHOSEN if number in chosen else ''}>"
        f'<span class="chip" style="background: rgb{PALETTE[number % len(PALETTE)]}" aria-hidden="true"></span>'
        f"<strong>{escape(prediction.expression)}</strong> <span>{escape(_result(prediction))}</span></li>"
        for number, prediction in enumerate(predictions)
    ]
    return f'<ul class="legend" aria-label="Masks">{"".join(lines)}</ul>'


def picture_in_words(predictions: Sequence[Prediction]) -> str:
    """The photo with its masks for those who cannot see it."""
    masks = [f"“{one.expression}”, {_result(one)}{_place(one)}" for one in predictions]
    return f"The photo with masks: {'; '.join(masks)}"


def capitalised(sentence: str) -> str:
    """The sentence with a capital at its beginning."""
    return sentence[:1].upper() + sentence[1:]


def _result(prediction: Prediction) -> str:
    if prediction.is_absent:
        return f"nothing in the photo fits “{prediction.expression}”"
    if not prediction.area:
        return "nothing found"
    part = prediction.area / (prediction.height * prediction.width)
    return f"score {prediction.score:.2f}, {part:.1%} of the photo"


def _place(prediction: Prediction) -> str:
    """Where the middle of the mask's box lies, in words."""
    if prediction.box is None:
        return ""
    x, y, width, height = prediction.box
    across = ("left", "centre", "right")[min(2, int(3 * (x + width / 2) / prediction.width))]
    down = ("top", "middle", "bottom")[min(2, int(3 * (y + height / 2) / prediction.height))]
    return f", {down} {across}"
