"""The page: what stands where, and what happens when. The work itself is the service's."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from cmpc.errors import UserError
from cmpc.refining.refine import RefineName
from cmpc.web import api, texts
from cmpc.web.downloads import DownloadName, Downloads
from cmpc.web.examples import Example
from cmpc.web.photo_input import photo_input
from cmpc.web.service import PageAnswer, Service
from cmpc.web.stages import STAGE_NAMES
from cmpc.web.uploads import UploadsOnly
from cmpc.web.visitor_files import KEPT_SECONDS

MASKS, STAGES = "masks", "stages"
"""The two tabs of the answer."""

_SHOW_PICTURE = """
() => document.querySelector("#picture img")?.closest("#picture").scrollIntoView({block: "nearest"})
"""
"""On a phone the picture stands far below the button; where it is in sight already, nothing moves."""

_TELL_CLICKS = """
document.addEventListener("click", event => {
    const picture = event.target;
    if (!picture.matches?.("#picture img")) return;
    const place = picture.getBoundingClientRect();
    const {naturalWidth: width, naturalHeight: height} = picture;
    const scale = Math.min(place.width / width, place.height / height);
    const x = Math.floor((event.clientX - place.left - (place.width - width * scale) / 2) / scale);
    const y = Math.floor((event.clientY - place.top - (place.height - height * scale) / 2) / scale);
    if (x >= 0 && y >= 0 && x < width && y < height) trigger("select", {index: [x, y], value: null});
});
"""
"""The legend is told of clicks on the picture. Gradio's own event for it is wrong where a picture is enlarged."""

DOWNLOAD_CHOICES: list[tuple[str, DownloadName]] = [
    ("masks and picture", "masks"),
    ("cutouts", "cutouts"),
    ("COCO", "coco"),
    ("labelme", "labelme"),
]
CRF_CHOICE = [("fully connected CRF", "crf")] if find_spec("pydensecrf") else []
"""Offered where its package is installed."""


@dataclass(frozen=True)
class Asked:
    """What the masks on the page answer: the slider and the stages refer to it, not to what is typed meanwhile."""

    photo: Path
    expressions: tuple[str, ...]
    model: str


def build_page(service: Service, downloads: Downloads, examples: Sequence[Example] = ()) -> gr.Blocks:
    """Lays out the page over a service.

    Args:
        service: what answers.
        downloads: where files for visitors are written.
        examples: pictures to choose from.
    """
    with UploadsOnly(title=texts.TITLE, analytics_enabled=False, delete_cache=(600, KEPT_SECONDS)) as page:
        _Page(service, downloads, examples).build()
        api.add_endpoints(service, downloads)
    return page


class _Page:
    """The components of the page and their events."""

    def __init__(self, service: Service, downloads: Downloads, examples: Sequence[Example]) -> None:
        self.service = service
        self.downloads = downloads
        self.examples = examples

    def build(self) -> None:
        """Places the components from top to bottom and connects them."""
        gr.HTML(texts.heading(), elem_id="heading")
        self.asked = gr.State(None)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self._build_question()
            with gr.Column(scale=3, min_width=320):
                self._build_answer()
        gr.HTML(texts.limits(self.service.limits), elem_id="limits")
        self._connect()

    def _build_question(self) -> None:
        self.photo = photo_input(
            label="Photo",
            sources=["upload", "clipboard"],
            height=320,
            alt_text="The photo you gave.",
            elem_id="photo",
        )
        self.expressions = gr.Textbox(
            label="What to look for",
            info="One expression a line. Shift + Enter asks.",
            placeholder="the left man\nwhite frisbee",
            lines=3,
            max_lines=self.service.limits.expressions,
            elem_id="expressions",
        )
        self.find = gr.Button("Find", variant="primary", elem_id="find")
        self.message = gr.HTML(texts.note(texts.WELCOME), elem_id="message")
        self.model = gr.Dropdown(
            self.service.models.names,
            value=self.service.models.names[0],
            label="Model",
            visible=len(self.service.models.names) > 1,
            elem_id="model",
        )
        if self.examples:
            gr.HTML("<h2>Examples</h2>", elem_id="examples-heading")
            self.gallery = gr.Gallery(
                [(str(example.photo), example.name) for example in self.examples],
                label="Examples",
                show_label=False,
                columns=3,
                height="auto",
                allow_preview=False,
                interactive=False,
                object_fit="cover",
                buttons=[],
                elem_id="examples",
            )

    def _build_answer(self) -> None:
        with gr.Tabs(elem_id="answer") as self.tabs:
            with gr.Tab("Masks", id=MASKS):
                self.picture = gr.Image(
                    label="Photo with masks",
                    format="jpeg",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="picture",
                )
                self.legend = gr.HTML(elem_id="legend", js_on_load=_TELL_CLICKS)
                self.threshold = gr.Slider(
                    0,
                    1,
                    value=0.5,
                    step=0.01,
                    label="Threshold",
                    info="Pixels at least this likely form the mask.",
                    buttons=[],
                    elem_id="threshold",
                )
                self.refine = gr.Radio(
                    [("as the network says", "none"), ("guided filter", "guided"), *CRF_CHOICE],
                    value="none",
                    label="Edges",
                    info="Draws the masks' edges to those of the photo.",
                    elem_id="refine",
                )
                self.download = gr.Radio(
                    DOWNLOAD_CHOICES,
                    value="masks",
                    label="Take along",
                    info="As which files the answer can be downloaded.",
                    elem_id="download",
                )
                self.files = gr.File(
                    label="Files", file_count="multiple", interactive=False, visible=False, elem_id="files"
                )
            with gr.Tab("How it got there", id=STAGES) as self.stages_tab:
                self.explained = gr.Radio([], label="Expression", visible=False, elem_id="explained")
                self.stages = []
                with gr.Tabs(elem_id="stages"):
                    for number, name in enumerate(STAGE_NAMES):
                        with gr.Tab(name):
                            self.stages.append(
                                gr.Image(
                                    label=name,
                                    show_label=False,
                                    format="png",
                                    interactive=False,
                                    buttons=["download", "fullscreen"],
                                    elem_id=f"stage-{number}",
                                )
                            )

    def _connect(self) -> None:
        answer = [self.message, self.picture, self.legend, self.files, self.asked, self.explained, self.tabs]
        question = [self.photo, self.expressions, self.threshold, self.model, self.refine]
        hidden: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "service"}
        self.photo.upload(
            self._see, [self.photo, self.model], [self.photo, *answer], show_progress_on=self.message, **hidden
        )
        self.photo.clear(self._forget, None, answer, **hidden)
        shown = gr.on(
            [self.find.click, self.expressions.submit],
            self._find,
            question,
            answer,
            show_progress_on=self.picture,
            trigger_mode="multiple",  # an answer that was lost on its way must not keep the button from working
            **hidden,
        )
        moved = gr.on(
            [self.threshold.change, self.refine.input],
            self._move,
            [self.asked, self.threshold, self.refine],
            [self.message, self.picture, self.legend],
            show_progress="hidden",
            trigger_mode="always_last",
            **hidden,
        )
        other = self.model.input(
            self._ask_again,
            [self.asked, self.threshold, self.model, self.refine],
            answer,
            show_progress_on=self.picture,
            **hidden,
        )
        chains = [shown, other]
        if self.examples:
            chosen = self.gallery.select(
                self._choose, None, [self.photo, self.expressions], show_progress="hidden", **hidden
            )
            chains.append(chosen.then(self._find, question, answer, show_progress_on=self.picture, **hidden))
        for chain in chains:
            chain.then(None, js=_SHOW_PICTURE, **hidden)
        self.legend.select(
            self._tell,
            [self.asked, self.threshold, self.refine],
            [self.message, self.legend],
            show_progress="hidden",
            trigger_mode="always_last",
            **hidden,
        )
        for written in [*(chain.then for chain in [*chains, moved]), self.download.input]:
            written(
                self._write,
                [self.asked, self.threshold, self.refine, self.download],
                [self.message, self.files],
                show_progress="hidden",
                **hidden,
            )
        gr.on(
            [self.stages_tab.select, self.explained.input],
            self._explain,
            [self.asked, self.explained, self.threshold],
            [self.message, *self.stages],
            show_progress_on=self.stages[0],
            trigger_mode="once",
            **hidden,
        )

    def _see(self, photo: str | None, model: str) -> tuple[Any, ...]:
        """A photo was uploaded or pasted: it is checked and seen at once."""
        if photo is None:
            return gr.skip(), *self._forget()
        try:
            height, width = self.service.see(Path(photo), model)
        except Exception as error:
            return None, *self._forget(_sentence(error))
        message = texts.note(f"A photo of {width:,} x {height:,} pixels. Now say what to look for.")
        return gr.skip(), *self._forget(message)

    def _forget(self, message: str = "") -> tuple[Any, ...]:
        """The answer belongs to another photo: nothing of it stays."""
        message = message or texts.note(texts.WELCOME)
        return (
            message,
            gr.Image(None, alt_text=None),
            "",
            gr.File(None, visible=False),
            None,
            gr.Radio([], value=None, visible=False),
            gr.Tabs(selected=MASKS),
        )

    def _choose(self, event: gr.SelectData) -> tuple[str, str]:
        example = self.examples[event.index]
        return str(example.photo), "\n".join(example.expressions)

    def _find(
        self, photo: str | None, expressions: str, threshold: float, model: str, refine: RefineName
    ) -> tuple[Any, ...]:
        """The masks of what is typed; an error leaves no old masks beside it."""
        try:
            if photo is None:
                raise UserError("there is no photo yet: upload or paste one, or choose an example.")
            answer = self.service.segment(Path(photo), expressions, threshold, model, refine)
        except Exception as error:
            return self._forget(_sentence(error))
        asked = Asked(Path(photo), tuple(prediction.expression for prediction in answer.predictions), model)
        several = len(asked.expressions) > 1
        return (
            *self._show(answer),
            gr.skip(),
            asked,
            gr.Radio(list(asked.expressions), value=asked.expressions[0], visible=several),
            gr.Tabs(selected=MASKS),
        )

    def _ask_again(self, asked: Asked | None, threshold: float, model: str, refine: RefineName) -> tuple[Any, ...]:
        """Another model was chosen: it answers what the one before has answered."""
        if asked is None:
            return (gr.skip(),) * 7
        return self._find(str(asked.photo), "\n".join(asked.expressions), threshold, model, refine)

    def _move(self, asked: Asked | None, threshold: float, refine: RefineName) -> tuple[Any, ...]:
        """The slider was moved, or other edges were chosen."""
        if asked is None:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            return self._show(self._answer(asked, threshold, refine))
        except Exception as error:
            return _sentence(error), gr.skip(), gr.skip()

    def _tell(self, asked: Asked | None, threshold: float, refine: RefineName, event: gr.SelectData) -> tuple[Any, ...]:
        """The picture was clicked: what was asked for there is said, and stands out in the legend."""
        try:
            x, y = _clicked(event.index)
            if asked is None:
                return gr.skip(), gr.skip()
            answer = self._answer(asked, threshold, refine)
            with self.service.drawing:
                chosen = answer.at(x, y)
        except Exception as error:
            return _sentence(error), gr.skip()
        message = texts.here([answer.predictions[number] for number in chosen])
        return message, texts.legend(answer.predictions, chosen)

    def _write(self, asked: Asked | None, threshold: float, refine: RefineName, name: DownloadName) -> tuple[Any, ...]:
        """The files of what is shown."""
        if asked is None:
            return gr.skip(), gr.skip()
        try:
            with self.service.drawing:
                files = self.downloads.write_as(name, asked.photo, self._answer(asked, threshold, refine))
        except Exception as error:
            return _sentence(error), gr.File(None, visible=False)
        if not files:
            return texts.note(texts.NOTHING_TO_CUT_OUT), gr.File(None, visible=False)
        return gr.skip(), gr.File([str(file) for file in files], visible=True)

    def _explain(self, asked: Asked | None, expression: str | None, threshold: float) -> tuple[Any, ...]:
        """The stages of one of the answers."""
        nothing = [gr.Image(None, alt_text=None)] * len(self.stages)
        if asked is None:
            return texts.note("First ask for something: the stages explain an answer."), *nothing
        try:
            chosen = expression or asked.expressions[0]
            stages = self.service.explain(asked.photo, chosen, threshold, asked.model)
        except Exception as error:
            return _sentence(error), *nothing
        pictures = [gr.Image(stage.picture, alt_text=texts.capitalised(stage.description)) for stage in stages]
        return texts.note(f"How the model reads “{chosen}”, stage by stage."), *pictures

    def _answer(self, asked: Asked, threshold: float, refine: RefineName) -> PageAnswer:
        return self.service.segment(asked.photo, "\n".join(asked.expressions), threshold, asked.model, refine)

    def _show(self, answer: PageAnswer) -> tuple[Any, ...]:
        """Message, picture and legend of an answer."""
        with self.service.drawing:
            picture = gr.Image(answer.picture, alt_text=texts.picture_in_words(answer.predictions))
        return texts.found(answer.predictions), picture, texts.legend(answer.predictions)


def _clicked(index: Any) -> tuple[int, int]:
    """Where the picture was clicked, x and y in its pixels, as the browser says it.

    Raises:
        UserError: it says something else.
    """
    if not isinstance(index, list | tuple) or len(index) != 2 or not all(type(part) is int for part in index):
        raise UserError("a click on the picture has two whole numbers, x and y in its pixels.")
    return index[0], index[1]


def _sentence(error: Exception) -> str:
    """An error as the page shows it: the user's own as a sentence, ours with its traceback in the terminal only."""
    if isinstance(error, UserError):
        return texts.error(str(error))
    traceback.print_exception(error, file=sys.stderr)
    return texts.error(texts.FAULT)
