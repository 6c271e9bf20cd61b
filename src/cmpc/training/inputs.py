"""What a run begins with: its words, its network, the weights and the data to learn from and to be judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np

from cmpc.data.dataset import ReferringImages
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.spacy_word_types import SpacyWordTypes, label_rows, without_word_types
from cmpc.data.vocabulary import Vocabulary
from cmpc.interop.embeddings import load_embeddings
from cmpc.model_folder import VOCABULARY, load_model_folder, read_model_config
from cmpc.models import ModelConfig, ReferringNetwork
from cmpc.training.options import TrainingOptions, model_config


def run_vocabulary(options: TrainingOptions, data: PreparedDataset) -> Vocabulary:
    """That of ``--initial-model`` or ``--vocabulary``, else the words of the split to learn from."""
    if options.initial_model is not None:
        read_model_config(options.initial_model)  # a folder that is no model is named as such
        return Vocabulary.load(options.initial_model / VOCABULARY)
    if options.vocabulary is not None:
        return Vocabulary.load(options.vocabulary)
    return Vocabulary.from_expressions(
        expression for row in data.read(options.train_split) for expression in row.expressions
    )


def word_embeddings(options: TrainingOptions, vocabulary: Vocabulary) -> np.ndarray | None:
    """The rows of ``--embeddings``, float32 (V, C)."""
    return None if options.embeddings is None else load_embeddings(options.embeddings, vocabulary, seed=options.seed)


def run_config(options: TrainingOptions, vocabulary: Vocabulary, embeddings: np.ndarray | None) -> ModelConfig:
    """The network that the options describe, for these words and for the conventions of ``--backbone-weights``."""
    channels = None if embeddings is None else embeddings.shape[1]
    config = model_config(options, vocabulary_size=len(vocabulary), embedding_channels=channels)
    if options.backbone_weights in (None, "random"):
        return config
    from cmpc.interop.backbone_weights import config_for_backbone_weights

    return config_for_backbone_weights(config, str(options.backbone_weights))


def load_initial_weights(model: ReferringNetwork, options: TrainingOptions) -> None:
    """The weights that the run begins with, where they are not random."""
    if options.initial_model is not None:
        model.load_state_dict(load_model_folder(options.initial_model).model.state_dict())
    elif options.backbone_weights not in (None, "random"):
        from cmpc.interop.backbone_weights import load_backbone_weights

        load_backbone_weights(model, str(options.backbone_weights))


def word_labels(
    options: TrainingOptions, config: ModelConfig
) -> Callable[[list[ReferredObject]], list[ReferredObject]] | None:
    """What gives the rows their word types; None for those of the data."""
    if options.word_types == "none" or config.network == "rrn":
        return without_word_types
    if options.word_types == "spacy":
        return partial(label_rows, labeller=SpacyWordTypes(options.spacy_pipeline))
    return None


def validation_set_of(
    options: TrainingOptions, data: PreparedDataset, vocabulary: Vocabulary, config: ModelConfig
) -> ReferringImages | None:
    """The split to be judged by, in its own order; None where there is none or it is not asked for."""
    split = options.validation_split or ("val" if "val" in data.splits else None)
    if split is None or not options.validate_every:
        return None
    return ReferringImages(
        data,
        split,
        vocabulary,
        config.image,
        max_words=config.max_words,
        expressions_per_image=8,
        shuffle=False,
        render=options.render_on == "cpu",
    )


def fingerprint_of(vocabulary: Vocabulary, *sets: ReferringImages | None) -> str:
    """Stands for the words and the rows that a run learns from and is judged by."""
    digest = hashlib.sha256("\n".join(vocabulary.words).encode())
    for dataset in sets:
        for row in dataset.rows if dataset else ():
            learned = (row.ref_id, row.image, row.mask, row.expressions, row.word_types)
            digest.update(repr((*learned, row.grounding) if dataset and dataset.has_grounding else learned).encode())
        digest.update(b"\0")
    return digest.hexdigest()
