"""What may be asked over HTTP, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cmpc.answers.prediction import Prediction
from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.refining.refine import RefineName

Expression = Annotated[str, Field(min_length=1, examples=["the left man"])]
Photo = Annotated[
    str, Field(description="the photo's file in base64", json_schema_extra={"format": "byte"}, min_length=1)
]
Threshold = Annotated[float, Field(ge=0, le=1, description="pixels at least this likely form the mask")]
PresenceThreshold = Annotated[
    float, Field(ge=0, le=1, description="the mask is empty where it is less likely that anything fits; 0: never")
]
MaskForm = Literal["rle", "polygons", "png"]


class SegmentRequest(BaseModel):
    """Expressions about a photo."""

    model_config = ConfigDict(extra="forbid")

    photo: Photo
    expressions: Annotated[list[Expression], Field(min_length=1, description="what to look for")]
    threshold: Threshold = 0.5
    presence_threshold: PresenceThreshold = PRESENCE_THRESHOLD
    refine: Annotated[RefineName, Field(description="draw the masks' edges to those of the photo")] = "none"
    masks: Annotated[MaskForm, Field(description="COCO run lengths, polygons without holes, or PNG in base64")] = "rle"
    answer: Annotated[
        Literal["json", "png"], Field(description="png: the mask alone, 255 inside, 0 outside; for one expression")
    ] = "json"


class ExplainRequest(BaseModel):
    """One expression about a photo, to be explained."""

    model_config = ConfigDict(extra="forbid")

    photo: Photo
    expression: Expression
    threshold: Threshold = 0.5
    presence_threshold: PresenceThreshold = PRESENCE_THRESHOLD
    answer: Annotated[Literal["png", "svg", "json"], Field(description="a picture, or all numbers")] = "png"


class RunLengths(BaseModel):
    """A mask as COCO's compressed run lengths; pycocotools.mask.decode reads them."""

    size: tuple[int, int]
    counts: str


class WordAnswer(BaseModel):
    """A word that the network read."""

    word: str
    types: dict[str, float]


class InstanceAnswer(BaseModel):
    """A part of a mask that hangs together."""

    box: tuple[int, int, int, int]
    score: float
    area: int
    rle: RunLengths | None = None


class PredictionAnswer(BaseModel):
    """The mask of one expression."""

    expression: str
    present: Annotated[float | None, Field(description="probability that anything fits; null: the model does not tell")]
    score: Annotated[float, Field(description="mean probability inside the mask; 0 where nothing was found")]
    threshold: float
    box: Annotated[tuple[int, int, int, int] | None, Field(description="x, y, width, height; null: nothing was found")]
    area: Annotated[int, Field(description="pixels of the mask")]
    rle: RunLengths | None = None
    polygons: list[list[float]] | None = None
    png: Annotated[str | None, Field(description="base64: 255 inside, 0 outside")] = None
    instances: Annotated[list[InstanceAnswer], Field(description="the mask's parts that hang together")]
    words: list[WordAnswer]
    unknown_words: list[str]
    cut_words: list[str]

    @staticmethod
    def of(prediction: Prediction, masks: MaskForm) -> PredictionAnswer:
        """The answer, with its mask in one form."""
        values: dict[str, Any] = prediction.to_dict()
        kept = {name: value for name, value in values.items() if name not in ("rle", "polygons")}
        kept[masks] = _as_base64(prediction) if masks == "png" else values[masks]
        if masks != "rle":
            kept["instances"] = [{**instance, "rle": None} for instance in kept["instances"]]
        return PredictionAnswer.model_validate(kept)


class SegmentAnswer(BaseModel):
    """The masks of all expressions."""

    height: Annotated[int, Field(description="of the upright photo")]
    width: int
    predictions: list[PredictionAnswer]


class HealthAnswer(BaseModel):
    """That the server answers."""

    status: Literal["UP"] = "UP"
    model: str
    model_class: Literal["CMPC"] = "CMPC"
    waiting: Annotated[int, Field(description="requests in the queue")]


class ErrorAnswer(BaseModel):
    """What is wrong with a request, in one sentence."""

    error: str


def _as_base64(prediction: Prediction) -> str:
    import base64
    import io

    file = io.BytesIO()
    prediction.to_pil().save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
