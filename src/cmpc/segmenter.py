"""From an image and expressions to masks: what most users need of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import ModelHubMixin, snapshot_download
from numpy.typing import NDArray
from PIL import Image

from cmpc.data.images import from_array, from_pillow, read_image
from cmpc.data.transforms import letterbox_image, undo_letterbox
from cmpc.data.vocabulary import Vocabulary, pad_tokens, tokenize
from cmpc.engines.engine import Engine, EngineName, Features, Precision
from cmpc.engines.loading import load_engine
from cmpc.engines.torch_engine import TorchEngine
from cmpc.errors import UsageError, UserError
from cmpc.explanation.compute import check_explainable, explain, responses
from cmpc.explanation.explanation import Explanation
from cmpc.model_folder import MODEL_FILES, write_model_files
from cmpc.models import ImageFeatures, ModelConfig, ReferringNetwork
from cmpc.prediction import Prediction
from cmpc.weights import SHIPPED_MODEL

ImageSource = str | Path | bytes | NDArray | Image.Image
"""A path, the bytes of a file, an array (H, W) or (H, W, 3 or 4) of uint8 or uint16 in RGB order, or a PIL image."""

EXPRESSIONS_AT_ONCE = 8
"""More expressions are asked in several rounds, which bounds the memory."""


@dataclass(frozen=True)
class EncodedImage:
    """An image that the network has seen: expressions about it are answered from here."""

    features: Features
    """What the engine keeps of it."""
    height: int
    """Height of the image in pixels."""
    width: int
    """Width of the image in pixels."""


class Segmenter(
    ModelHubMixin, library_name="cmpc", pipeline_tag="image-segmentation", tags=["referring-image-segmentation"]
):
    """Finds what referring expressions refer to.

    >>> segmenter = Segmenter.load("runs/first/best")
    >>> predictions = segmenter.predict("photo.jpg", ["left man", "white frisbee"])
    >>> predictions[0].mask  # bool (H, W)

    The image is seen once, however many expressions are asked::

        segmenter.set_image("photo.jpg")
        segmenter.predict(expressions="left man")
        segmenter.predict(expressions="the dog behind him")
    """

    def __init__(self, model: ReferringNetwork | Engine, vocabulary: Vocabulary) -> None:
        """
        Args:
            model: a network, which PyTorch runs where it is, or an engine.
            vocabulary: the words that the network's embedding belongs to.
        """
        self.engine: Engine = TorchEngine(model.eval()) if isinstance(model, ReferringNetwork) else model
        self.vocabulary = vocabulary
        self._image: EncodedImage | None = None

    @staticmethod
    def load(
        path_or_hub_id: str | Path | None = None,
        *,
        engine: EngineName | None = None,
        precision: Precision | None = None,
        device: torch.device | str = "cpu",
    ) -> Segmenter:
        """Loads a model from a folder, or from the Hugging Face hub (``"organisation/name"``).

        Args:
            path_or_hub_id: a model folder, a folder that ``cmpc export`` wrote, or a name on the hub; None: the small
                model that ships, which knows the scenes of Blocks, not photos.
            engine: what computes: ``torch`` for model folders, ``onnx`` or ``openvino`` for exported ones; None: what
                the folder is for.
            precision: ``fp32``, ``bf16`` or ``int8``; None: that of the folder.
            device: where PyTorch computes; exported models run on the CPU.

        Raises:
            UserError: there is no such model, it is damaged, or the engine is not installed.
            UsageError: the folder is for another engine, precision or device.
        """
        return Segmenter._from_pretrained(
            model_id=str(path_or_hub_id or SHIPPED_MODEL), engine=engine, precision=precision, device=device
        )

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
        """
        self._image = self._encode([_pixels(image)])[0]
        return self._image

    def predict(
        self,
        image: ImageSource | EncodedImage | None = None,
        expressions: str | Sequence[str] = (),
        *,
        threshold: float = 0.5,
    ) -> list[Prediction]:
        """The masks of expressions about one image.

        Args:
            image: the image; None for the one given to ``set_image``.
            expressions: one expression or several.
            threshold: pixels at least this likely form the mask, 0..1.

        Returns:
            One prediction for each expression, in their order.

        Raises:
            UserError: an image is missing or broken, an expression holds no word.
            UsageError: the threshold is not between 0 and 1.
        """
        encoded = self._image if image is None else image
        if encoded is None:
            raise UserError("there is no image: give one to predict, or to set_image before it.")
        if not isinstance(encoded, EncodedImage):
            encoded = self._encode([_pixels(encoded)])[0]
        expressions = [expressions] if isinstance(expressions, str) else list(expressions)
        return self._answer([encoded], [expressions], threshold)[0]

    def predict_batch(
        self,
        images: Sequence[ImageSource],
        expressions: Sequence[str | Sequence[str]],
        *,
        threshold: float = 0.5,
    ) -> list[list[Prediction]]:
        """The masks of expressions about several images, which the network sees as one batch.

        Args:
            images: B images, of any sizes.
            expressions: for each image one expression or several.
            threshold: pixels at least this likely form the mask, 0..1.

        Returns:
            For each image the predictions of its expressions. They are those that ``predict`` gives one by one.

        Raises:
            UserError: an image is missing or broken, an expression holds no word.
            UsageError: the threshold is not between 0 and 1.
        """
        if len(images) != len(expressions):
            raise ValueError(
                f"every image needs its expressions, got {len(images)} images and {len(expressions)} lists"
            )
        if not images:
            return []
        asked = [[some] if isinstance(some, str) else list(some) for some in expressions]
        return self._answer(self._encode([_pixels(image) for image in images]), asked, threshold)

    def explain(
        self,
        image: ImageSource,
        expression: str,
        *,
        seen: EncodedImage | None = None,
        threshold: float = 0.5,
    ) -> Explanation:
        """How the model comes to its answer: the stages of the paper's first figure.

        Args:
            image: the image.
            expression: the referring expression.
            seen: what ``set_image`` gave for this image, to see it only once.
            threshold: pixels at least this likely form the mask, 0..1.

        Returns:
            Every map of it is documented there. ``cmpc.explanation.save`` writes it as PNG, SVG or JSON.

        Raises:
            UserError: the image is missing or broken, the expression holds no word, the model has no such stages, or it
                is an exported one.
            UsageError: the threshold is not between 0 and 1.
        """
        network, heard = self._heard(image, expression, seen, threshold)
        return explain(network, *heard)

    def responses(
        self,
        image: ImageSource,
        expression: str,
        *,
        seen: EncodedImage | None = None,
        threshold: float = 0.5,
    ) -> Explanation:
        """``explain`` without what the graph moves between regions (``graph`` is None), in half the time.

        Raises:
            UserError: as ``explain``.
            UsageError: as ``explain``.
        """
        network, heard = self._heard(image, expression, seen, threshold)
        return responses(network, *heard)[0]

    def words(self, expression: str) -> list[str]:
        """The words of an expression as the network reads them.

        Raises:
            UserError: there is none.
        """
        words = tokenize(expression)[: self.config.max_words]
        if not any(character.isalnum() for word in words for character in word):
            raise UserError(
                f"the expression {expression!r} holds no word: say what to look for, such as 'the left man'."
            )
        return words

    def _encode(self, images: list[NDArray[np.uint8]]) -> list[EncodedImage]:
        config = self.config.image
        squares = np.stack([letterbox_image(image, config.size, config.resize) for image in images])
        features = self.engine.encode_image(squares)
        return [EncodedImage(some, *image.shape[:2]) for some, image in zip(features, images, strict=True)]

    def _heard(
        self, image: ImageSource, expression: str, seen: EncodedImage | None, threshold: float
    ) -> tuple[ReferringNetwork, tuple[ImageFeatures, torch.Tensor, NDArray[np.uint8], Prediction]]:
        """The network, and what it is to explain: image features, tokens, photo and answer."""
        check_explainable(self.config)
        engine = self._torch_engine("only the torch engine explains")
        pixels = _pixels(image)
        encoded = seen or self._encode([pixels])[0]
        if (encoded.height, encoded.width) != pixels.shape[:2]:
            raise ValueError(
                f"seen must be of this image, {pixels.shape[0]} x {pixels.shape[1]} pixels, "
                f"got one of {encoded.height} x {encoded.width}"
            )
        prediction = self.predict(encoded, expression, threshold=threshold)[0]
        tokens = torch.tensor([self.vocabulary.encode(expression, self.config.max_words)], device=engine.device)
        return engine.network, (engine.image_features(encoded.features), tokens, pixels, prediction)

    def _answer(
        self, images: Sequence[EncodedImage], expressions: Sequence[Sequence[str]], threshold: float
    ) -> list[list[Prediction]]:
        """Predictions for each image; all expressions are checked before the first is asked."""
        if not 0 <= threshold <= 1:
            raise UsageError(f"the threshold must lie between 0 and 1, got {threshold}.")
        words = [[self.words(expression) for expression in asked] for asked in expressions]
        answers: list[list[Prediction]] = []
        for image, asked, asked_words in zip(images, expressions, words, strict=True):
            answers.append([])
            for start in range(0, len(asked), EXPRESSIONS_AT_ONCE):
                some = slice(start, start + EXPRESSIONS_AT_ONCE)
                answers[-1] += self._answer_some(image, asked[some], asked_words[some], threshold)
        return answers

    def _answer_some(
        self, image: EncodedImage, expressions: Sequence[str], words: list[list[str]], threshold: float
    ) -> list[Prediction]:
        ids = [self.vocabulary.encode(expression, self.config.max_words) for expression in expressions]
        logits, types = self.engine.comprehend(image.features, pad_tokens(ids))
        return [
            Prediction(
                expression=expression,
                probability=_sigmoid(undo_letterbox(logits[row], image.height, image.width)),
                threshold=threshold,
                words=tuple(words[row]),
                word_types=types[row, : len(words[row])],
                unknown_words=tuple(self.vocabulary.unknown_words(expression)),
            )
            for row, expression in enumerate(expressions)
        ]

    def _torch_engine(self, reason: str) -> TorchEngine:
        if not isinstance(self.engine, TorchEngine):
            raise UserError(
                f"{reason}, and this model runs on {self.engine.name}: load the folder it was exported from."
            )
        return self.engine

    def _save_pretrained(self, save_directory: Path) -> None:
        write_model_files(save_directory, self.model, self.vocabulary)

    @classmethod
    def _from_pretrained(  # the hub's mixin calls this with keywords
        cls,
        *,
        model_id: str,
        engine: EngineName | None = None,
        precision: Precision | None = None,
        device: torch.device | str = "cpu",
        **download: Any,
    ) -> Segmenter:
        folder = Path(model_id)
        if not folder.exists() and _may_be_on_the_hub(model_id):
            folder = _download(model_id, download)
        return cls(*load_engine(folder, engine=engine, precision=precision, device=device))


def _may_be_on_the_hub(name: str) -> bool:
    return name.count("/") <= 1 and not name.startswith((".", "/", "~"))


def _download(model_id: str, download: dict[str, Any]) -> Path:
    known = {"revision", "cache_dir", "force_download", "local_files_only", "token"}
    options = {name: value for name, value in download.items() if name in known}
    try:
        return Path(snapshot_download(model_id, allow_patterns=list(MODEL_FILES), **options))
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors, a malformed name is a ValueError
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"there is no model {model_id!r}: no such folder here, and the hub could not give it ({reason})."
        ) from None


def _pixels(image: ImageSource) -> NDArray[np.uint8]:
    """RGB, uint8, (H, W, 3), upright."""
    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, Image.Image):
        return from_pillow(image)
    return read_image(image, exif_rotation=True)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return torch.from_numpy(logits).sigmoid().numpy()
