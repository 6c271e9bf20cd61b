"""From an image and expressions to masks: what most users need of this package."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cmpc.answers.prediction import Prediction
from cmpc.arguments import (
    ImageSource,
    check_image_comes_last,
    shown,
    to_expressions,
    to_list,
    to_pixels,
    to_threshold,
)
from cmpc.conventions import PRESENCE_THRESHOLD
from cmpc.data.query import Query, check_length, holds_a_word
from cmpc.data.vocabulary import Vocabulary
from cmpc.engines.asking import ask, see, to_square
from cmpc.engines.engine import BELONGING, Answer, Engine, EngineName, Features, Precision, probability_of
from cmpc.engines.loading import load_engine
from cmpc.errors import CutExpressionWarning, UsageError, UserError
from cmpc.model_folder import located, write_model_files
from cmpc.models.config import ModelConfig
from cmpc.refining.refine import RefineName, check_refinement
from cmpc.weights import DEFAULT_MODEL

if TYPE_CHECKING:  # PyTorch and the hub's library take longer to import than an exported model to answer
    import torch

    from cmpc.engines.torch_engine import TorchEngine
    from cmpc.explanation.explanation import Explanation
    from cmpc.models.network import ReferringNetwork


@dataclass(frozen=True)
class EncodedImage:
    """An image that the network has seen: expressions about it are answered from here."""

    features: Features
    """What the engine keeps of it."""
    height: int
    """Height of the image in pixels."""
    width: int
    """Width of the image in pixels."""


class Segmenter:
    """Finds what referring expressions refer to.

    >>> segmenter = Segmenter.load("runs/first/best")
    >>> predictions = segmenter.predict(["left man", "white frisbee"], image="photo.jpg")
    >>> predictions[0].mask  # bool (H, W)

    The image is seen once, however many expressions are asked::

        segmenter.set_image("photo.jpg")
        segmenter.predict("left man")
        segmenter.predict("the dog behind him")
    """

    def __init__(self, model: ReferringNetwork | Engine, vocabulary: Vocabulary) -> None:
        """
        Args:
            model: a network, which PyTorch runs where it is, or an engine.
            vocabulary: the words that the network's embedding belongs to.

        Raises:
            UsageError: they are something else.
        """
        if not isinstance(vocabulary, Vocabulary):
            raise UsageError(
                f"a segmenter takes a network or an engine, and a Vocabulary, got {shown(vocabulary)}: "
                "cmpc.load(FOLDER) reads both from a folder."
            )
        self.engine = _as_engine(model)
        self.vocabulary = vocabulary
        self._image: EncodedImage | None = None
        self._pixels: NDArray[np.uint8] | None = None

    @classmethod
    def load(
        cls,
        path_or_hub_id: str | Path | None = None,
        *,
        engine: EngineName | None = None,
        precision: Precision | None = None,
        device: torch.device | str = "cpu",
    ) -> Segmenter:
        """Loads a model from a folder, or from the Hugging Face hub (``"organisation/name"``).

        Args:
            path_or_hub_id: a model folder, a folder that ``cmpc export`` wrote, ``photos`` or ``blocks`` for the models
                that ship, or a name on the hub; None: ``photos``.
            engine: what computes: ``torch`` for model folders, ``onnx`` or ``openvino`` for exported ones; None: what
                the folder is for.
            precision: ``fp32``, ``bf16`` or ``int8``; None: that of the folder.
            device: where PyTorch computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the first GPU where
                there is one; exported models run on the CPU.

        Raises:
            UserError: there is no such model or device, it is damaged, or the engine is not installed.
            UsageError: the name is empty, or the folder is for another engine, precision or device.
        """
        model = DEFAULT_MODEL if path_or_hub_id is None else path_or_hub_id
        return cls.from_pretrained(model, engine=engine, precision=precision, device=device)

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | Path,
        *,
        engine: EngineName | None = None,
        precision: Precision | None = None,
        device: torch.device | str = "cpu",
        **download: Any,
    ) -> Segmenter:
        """``load`` with the hub's options: ``revision``, ``token``, ``cache_dir``, ``force_download`` and
        ``local_files_only``, as ``huggingface_hub.snapshot_download`` takes them."""
        if not isinstance(path_or_hub_id, str | os.PathLike):
            raise UsageError(f"a model is a folder or a name on the hub, got {shown(path_or_hub_id)}.")
        name = str(path_or_hub_id)
        if not name.strip():
            raise UsageError("the name of the model is empty: give a folder or a name on the hub, or no model at all.")
        folder = located(name)
        if not folder.exists():
            from cmpc import hub

            if hub.may_be_on_the_hub(name):
                folder = hub.download(name, **download)
        return cls(*load_engine(folder, engine=engine, precision=precision, device=device))

    def save_pretrained(self, folder: str | Path, **options: Any) -> str | None:
        """Writes the model into a folder; options as ``huggingface_hub.ModelHubMixin.save_pretrained``.

        Raises:
            UserError: the model is an exported one.
        """
        from cmpc.hub import HubModel

        return HubModel(self._write).save_pretrained(folder, **options)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Writes the model to the hub; options as ``huggingface_hub.ModelHubMixin.push_to_hub``.

        Returns:
            Address of the commit.

        Raises:
            UserError: the model is an exported one.
        """
        from cmpc.hub import HubModel

        return HubModel(self._write).push_to_hub(name, **options)

    @property
    def config(self) -> ModelConfig:
        """What the network is made of."""
        return self.engine.config

    @property
    def model(self) -> ReferringNetwork:
        """The plain network.

        Raises:
            UserError: the model is an exported one.
        """
        return self._torch_engine("exported models hold no network").network

    def set_image(self, image: ImageSource) -> EncodedImage:
        """Sees an image, so that ``predict`` answers expressions about it without seeing it again.

        Returns:
            The seen image; ``predict`` takes it in the place of an image as well.

        Raises:
            UserError: the image is missing or broken.
            UsageError: it is no image.
        """
        self._pixels = to_pixels(image)
        self._image = self._encode([self._pixels])[0]
        return self._image

    def predict(
        self,
        expressions: str | Sequence[str],
        image: ImageSource | EncodedImage | None = None,
        *,
        threshold: float = 0.5,
        presence_threshold: float = PRESENCE_THRESHOLD,
        refine: RefineName = "none",
    ) -> list[Prediction]:
        """The masks of expressions about one image.

        Args:
            expressions: one expression or several.
            image: the image; None for the one given to ``set_image``.
            threshold: pixels at least this likely form the mask, 0..1.
            presence_threshold: the mask is empty where the network says that anything in the image fits with a lower
                probability, 0..1; 0: never. It changes nothing for networks that do not tell.
            refine: ``crf`` or ``guided`` to draw the masks' edges to those of the photo, as ``Prediction.refined``.

        Returns:
            One prediction for each expression, in their order.

        Raises:
            UserError: an image is missing or broken, an expression holds no word or is too long, the package of the
                refinement is not installed.
            UsageError: an argument is of another kind, the threshold is not between 0 and 1, the image stands before
                the expressions, there is no such refinement, or it is asked for without the photo itself.
        """
        check_image_comes_last(expressions, image, (EncodedImage,))
        thresholds = to_threshold(threshold), to_threshold(presence_threshold, "the presence threshold")
        check_refinement(refine)
        queries = self._queries(expressions)
        encoded, pixels = (self._image, self._pixels) if image is None else (image, None)
        if encoded is None:
            raise UserError("there is no image: give one to predict, or to set_image before it.")
        if not isinstance(encoded, EncodedImage):
            pixels = to_pixels(encoded)
            encoded = self._encode([pixels])[0]
        predictions = self._answer(encoded, queries, *thresholds)
        if refine == "none":
            return predictions
        if pixels is None:
            raise UsageError("refining needs the photo itself: call refined(photo, refine) of each prediction.")
        return [prediction.refined(pixels, refine) for prediction in predictions]

    def predict_batch(
        self,
        expressions: Sequence[str | Sequence[str]],
        images: Sequence[ImageSource],
        *,
        threshold: float = 0.5,
        presence_threshold: float = PRESENCE_THRESHOLD,
        refine: RefineName = "none",
    ) -> list[list[Prediction]]:
        """The masks of expressions about several images, which the network sees as one batch.

        Args:
            expressions: for each image one expression or several.
            images: B images, of any sizes.
            threshold: pixels at least this likely form the mask, 0..1.
            presence_threshold: as for ``predict``.
            refine: as for ``predict``.

        Returns:
            For each image the predictions of its expressions. They are those that ``predict`` gives one by one.

        Raises:
            UserError: an image is missing or broken, an expression holds no word or is too long, the package of the
                refinement is not installed.
            UsageError: an argument is of another kind, the numbers of both differ, the threshold is not between 0 and
                1, the images stand before the expressions, or there is no such refinement.
        """
        asked, images = to_list(expressions, "expressions"), to_list(images, "images")
        if len(images) != len(asked):
            raise UsageError(
                f"every image needs its expressions, got {len(images)} images and {len(asked)} lists of expressions."
            )
        for some, image in zip(asked, images, strict=True):
            check_image_comes_last(some, image, (EncodedImage,))
        thresholds = to_threshold(threshold), to_threshold(presence_threshold, "the presence threshold")
        check_refinement(refine)
        if not images:
            return []
        queries = [self._queries(some) for some in asked]
        photos = [to_pixels(image) for image in images]
        return [
            [prediction.refined(pixels, refine) for prediction in self._answer(encoded, some, *thresholds)]
            for pixels, encoded, some in zip(photos, self._encode(photos), queries, strict=True)
        ]

    def query(self, expression: str) -> Query:
        """An expression as the network reads it: its words, and those that it does not know or does not read.

        Raises:
            UserError: it holds no word, or is too long.
            UsageError: it is no text.
        """
        if not isinstance(expression, str):
            raise UsageError(f"an expression must be a text, such as 'the left man', got {shown(expression)}.")
        check_length(expression)
        if not holds_a_word(expression):
            raise UserError(
                f"the expression {expression!r} holds no word: say what to look for, such as 'the left man'."
            )
        return self.vocabulary.query(expression, self.config.text.max_words)

    def _queries(self, expressions: str | Sequence[str]) -> list[Query]:
        queries = [self.query(one) for one in to_expressions(expressions)]
        for query in queries:
            if query.cut:
                lost = "the last one" if len(query.cut) == 1 else f"the last {len(query.cut):,}"
                warnings.warn(
                    f"the model reads only the first {len(query.words)} words of an expression, not {lost}: "
                    f"{query.text[:200]!r}",
                    CutExpressionWarning,
                    stacklevel=3,
                )
        return queries

    def _encode(self, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        """Sees pixels, (H, W, 3) each, as one batch."""
        features = see(self.engine, [to_square(pixels, self.config) for pixels in images])
        return [EncodedImage(some, *pixels.shape[:2]) for some, pixels in zip(features, images, strict=True)]

    def _answer(
        self, image: EncodedImage, queries: Sequence[Query], threshold: float, presence_threshold: float
    ) -> list[Prediction]:
        if not queries:
            return []
        answers = ask(self.engine, image.features, queries)
        return [
            self._prediction(image, query, answer, threshold, presence_threshold)
            for query, answer in zip(queries, answers.of_each(), strict=True)
        ]

    def _prediction(
        self,
        image: EncodedImage,
        query: Query,
        answer: Answer,
        threshold: float,
        presence_threshold: float,
    ) -> Prediction:
        """What is made of the network's answer to one query."""
        _, first_tokens = np.unique(query.word_of_token, return_index=True)
        return Prediction(
            query=query,
            logits=answer.logits.copy(),  # without those of the other expressions
            height=image.height,
            width=image.width,
            threshold=threshold,
            word_types=answer.word_types[first_tokens],
            present=None if answer.presence is None else probability_of(answer.presence),
            presence_threshold=presence_threshold,
            belonging=self._belonging(image.features),
        )

    def _belonging(self, features: Features) -> NDArray[np.float32] | None:
        """As ``Prediction.belonging``."""
        if BELONGING not in features:
            return None
        [belonging] = self.engine.array(features[BELONGING])
        return belonging.reshape(len(belonging), *self.config.grid)

    def _torch_engine(self, reason: str) -> TorchEngine:
        if self.engine.name != "torch":
            raise UserError(
                f"{reason}, and this model runs on {self.engine.name}: load the folder it was exported from."
            )
        return cast("TorchEngine", self.engine)

    def _write(self, folder: Path) -> None:
        write_model_files(folder, self.model, self.vocabulary)

    def explain(
        self,
        expression: str,
        *,
        image: ImageSource,
        seen: EncodedImage | None = None,
        threshold: float = 0.5,
        presence_threshold: float = PRESENCE_THRESHOLD,
    ) -> Explanation:
        """How the model comes to its answer: the stages of the paper's first figure.

        Args:
            expression: the referring expression.
            image: the image.
            seen: what ``set_image`` gave for this image, to see it only once.
            threshold: pixels at least this likely form the mask, 0..1.
            presence_threshold: as for ``predict``.

        Returns:
            Every map of it is documented there. ``cmpc.explanation.save`` writes it as PNG, SVG or JSON.

        Raises:
            UserError: the image is missing or broken, the expression holds no word or is too long, the model has no
                such stages, or it is an exported one.
            UsageError: an argument is of another kind, ``seen`` is of another image, or the threshold is not between 0
                and 1.
        """
        import torch

        from cmpc.explanation.compute import check_explainable, explain

        check_explainable(self.config)
        engine = self._torch_engine("only the torch engine explains")
        thresholds = to_threshold(threshold), to_threshold(presence_threshold, "the presence threshold")
        query = self.query(expression)
        pixels = to_pixels(image)
        if not isinstance(seen, EncodedImage | None):
            raise UsageError(f"seen is what set_image gave for this image, got {shown(seen)}.")
        encoded = seen or self._encode([pixels])[0]
        if (encoded.height, encoded.width) != pixels.shape[:2]:
            raise UsageError(
                f"seen must be of this image, {pixels.shape[0]} x {pixels.shape[1]} pixels, "
                f"got one of {encoded.height} x {encoded.width}."
            )

        def make_prediction(answer: Answer) -> Prediction:
            return self._prediction(encoded, query, answer, *thresholds)

        features, tokens = engine.image_features(encoded.features), torch.tensor([query.ids], device=engine.device)
        return explain(engine.running, features, tokens, pixels, make_prediction)


def _as_engine(model: ReferringNetwork | Engine) -> Engine:
    if isinstance(model, Engine):
        return model
    from cmpc.engines.torch_engine import TorchEngine
    from cmpc.models.network import ReferringNetwork

    if not isinstance(model, ReferringNetwork):
        raise UsageError(
            f"a segmenter takes a network or an engine, got {shown(model)}: cmpc.load(FOLDER) reads one from a folder."
        )
    return TorchEngine(model.eval())
