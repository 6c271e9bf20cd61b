"""What a run begins with: its words, its network, the weights and the data to learn from and to be judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch

from cmpc.data.augmentation import Augmentation
from cmpc.data.dataset import ReferringImages
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.data.spacy_word_types import SpacyWordTypes, label_rows, without_word_types
from cmpc.data.vocabulary import Splitting, Vocabulary
from cmpc.errors import UsageError, UserError
from cmpc.interop.embeddings import load_embeddings
from cmpc.model_folder import VOCABULARY, load_model_folder, located, read_model_config
from cmpc.models.backbones import BUILDERS, Backbone
from cmpc.models.config import CMPCConfig, GroundedConfig, ModelConfig, RRNConfig, preset
from cmpc.models.network import ReferringNetwork
from cmpc.training.options import Plan, TrainingOptions, flag
from cmpc.training.run_settings import differences


@dataclass(frozen=True)
class Inputs:
    """What a run learns, and from what."""

    vocabulary: Vocabulary
    """Its words."""
    embeddings: np.ndarray | None
    """First values of the words' embeddings, float32 (V, C); None for random ones."""
    config: ModelConfig
    """The network."""
    training_set: ReferringImages
    """What to learn from."""
    validation_set: ReferringImages | None
    """What to be judged by, in its own order; None where there is none or it is not asked for."""

    @property
    def fingerprint(self) -> str:
        """Stands for the words and the rows that the run learns from and is judged by."""
        digest = hashlib.sha256("\n".join(self.vocabulary.words).encode())
        for dataset in (self.training_set, self.validation_set):
            for row in dataset.rows if dataset else ():
                learned: tuple[object, ...] = (row.ref_id, row.image, row.rle, row.expressions, row.word_types)
                if dataset and dataset.has_grounding:
                    learned += (row.grounding,)
                if dataset and dataset.absent is not None:
                    learned += (row.category, row.kinds)
                digest.update(repr(learned).encode())
            digest.update(b"\0")
        return digest.hexdigest()


def read_inputs(options: TrainingOptions, plan: Plan) -> Inputs:
    """Reads what the options name.

    Raises:
        UsageError: options contradict each other.
        UserError: something is missing or damaged.
    """
    data = PreparedDataset.open(options.data, options.images)
    rows = data.read(options.train_split)
    for row in rows[:1]:  # the wrong folder of photos is found out before anything is computed
        data.read_image_bytes(row)
    vocabulary = _vocabulary(options, rows)
    embeddings = _embeddings(options, vocabulary)
    config = network_config(options, vocabulary, embeddings)
    if options.absent_per_image and not config.network.presence_channels:
        raise UsageError(
            "--absent-per-image teaches a network to tell whether anything fits, which this one does not: add "
            "--network.presence-channels 96, or leave it out."
        )
    modern = options.recipe == "modern"
    training_set = ReferringImages(
        data,
        options.train_split,
        vocabulary,
        config.image,
        max_words=config.text.max_words,
        expressions_per_image=plan.expressions_per_image,
        seed=options.seed,
        augmentation=Augmentation() if plan.augmentation else None,
        label_words=_word_labels(options, config),
        grounding=modern and isinstance(config.network, GroundedConfig),
        render=options.render_on == "cpu",
        rows=rows,
        absent_per_image=options.absent_per_image,
    )
    if isinstance(config.network, CMPCConfig) and modern and training_set.has_word_types:
        config = config.changed(network={"word_type_supervision": True})
    return Inputs(vocabulary, embeddings, config, training_set, _validation_set(options, data, vocabulary, config))


def network_config(
    options: TrainingOptions, vocabulary: Vocabulary, embeddings: np.ndarray | None = None
) -> ModelConfig:
    """The network that the options ask for, for these words and as ``--backbone-weights`` expect it.

    Raises:
        UsageError: ``--initial-model`` or ``--backbone-weights`` do not go with the network.
        UserError: they are missing or damaged.
    """
    if options.initial_model is not None:
        config = like_initial_model(read_model_config(options.initial_model), options.model)
        channels = config.text.embedding_channels
        if embeddings is not None and embeddings.shape[1] != channels:
            raise UserError(
                f"{options.embeddings} has {embeddings.shape[1]:,} values for a word but {options.initial_model} has "
                f"{channels:,}: give vectors of that width, or leave out --embeddings."
            )
        return config.changed(text={"vocabulary_size": len(vocabulary)})
    config = (options.model or preset("small")).changed(text={"vocabulary_size": len(vocabulary)})
    if embeddings is not None:
        config = config.changed(text={"embedding_channels": embeddings.shape[1]})
    return adapted_to_backbone_weights(config, options.backbone_weights)


def adapted_to_backbone_weights(config: ModelConfig, weights: str | None) -> ModelConfig:
    """The network as ``--backbone-weights`` expect it.

    Raises:
        UsageError: the backbone needs weights, or cannot take ``random``.
        UserError: they are missing or damaged, or for another kind of backbone.
    """
    check_backbone_weights(config, weights)
    if weights in (None, "random"):
        return config
    from cmpc.interop.backbone_weights import config_for_backbone_weights

    return config_for_backbone_weights(config, str(weights))


def load_initial_weights(model: ReferringNetwork, options: TrainingOptions) -> None:
    """The weights that the run begins with, where they are not random."""
    if options.initial_model is not None:
        given = load_model_folder(options.initial_model).model.state_dict()
        state = model.state_dict()
        added = {name: value for name, value in state.items() if name.startswith("presence.")}
        # Words that the initial model lacks come after its own.
        longer = {
            name: torch.cat([value, state[name][len(value) :]])
            for name, value in given.items()
            if name.endswith(".embedding.weight") and len(state[name]) > len(value)
        }
        model.load_state_dict({**added, **given, **longer})
    elif options.backbone_weights not in (None, "random"):
        from cmpc.interop.backbone_weights import load_backbone_weights

        load_backbone_weights(model, str(options.backbone_weights))


def _vocabulary(options: TrainingOptions, rows: Sequence[ReferredObject]) -> Vocabulary:
    """The words of ``--initial-model`` and ``--vocabulary``; of neither, those of the split to learn from."""
    if options.initial_model is not None:
        config = read_model_config(options.initial_model)  # a folder that is no model is named as such
        known = Vocabulary.load(located(options.initial_model) / VOCABULARY, config.text.splitting)
        return known if options.vocabulary is None else known.with_words(Vocabulary.load(options.vocabulary).words)
    splitting = splitting_of(options)
    if options.vocabulary is not None:
        return Vocabulary.load(options.vocabulary, splitting)
    expressions = (expression for row in rows for expression in row.expressions)
    return Vocabulary.from_expressions(expressions, splitting=splitting)


def _embeddings(options: TrainingOptions, vocabulary: Vocabulary) -> np.ndarray | None:
    """Those of ``--embeddings``, a row for each word; of words that ``--initial-model`` knows, any."""
    if options.embeddings is None:
        return None
    if options.initial_model is None or options.vocabulary is None:
        return load_embeddings(options.embeddings, vocabulary, seed=options.seed)
    given = Vocabulary.load(options.vocabulary)
    rows = load_embeddings(options.embeddings, given, seed=options.seed)
    return rows[[given.ids.get(word, given.pad_id) for word in vocabulary.words]]


def splitting_of(options: TrainingOptions) -> Splitting:
    """How a network that begins at random splits expressions into words."""
    return (options.model or preset("small")).text.splitting


def like_initial_model(theirs: ModelConfig, wanted: ModelConfig | None) -> ModelConfig:
    """The network of the initial model, at the size of image that is wanted, and with what tells whether anything fits
    where that is wanted and it has none.

    Raises:
        UsageError: anything else is wanted to be another one.
    """
    if wanted is None:
        return theirs
    config = theirs.changed(image={"size": wanted.image.size})
    if not theirs.network.presence_channels:
        config = config.changed(network={"presence_channels": wanted.network.presence_channels})
    wanted = wanted.changed(text={"splitting": theirs.text.splitting})  # older models have another than the presets
    for name, _, value in differences(config, wanted):
        raise UsageError(f"--initial-model brings its own network, words and weights: leave out {flag(name, value)}.")
    return config


def check_backbone_weights(config: ModelConfig, weights: str | None) -> None:
    """Makes sure that the backbone can see before it learns, if it needs to.

    Raises:
        UsageError: it needs ``--backbone-weights``, or cannot take ``random``.
    """
    kind = config.backbone.kind
    is_pretrained = cast("type[Backbone]", BUILDERS[kind]).is_pretrained
    if is_pretrained and weights is None:
        raise UsageError(
            f"the backbone {kind} does not learn to see from nothing, so it needs --backbone-weights FILE "
            "(or the word random, to try)."
        )
    if not is_pretrained and weights == "random":
        raise UsageError(f"--backbone-weights random goes with other backbones: {kind} begins at random anyway.")


def _word_labels(
    options: TrainingOptions, config: ModelConfig
) -> Callable[[Sequence[ReferredObject]], Sequence[ReferredObject]] | None:
    """What gives the rows their word types; None for those of the data."""
    if options.word_types == "none" or isinstance(config.network, RRNConfig):
        return without_word_types
    if options.word_types == "spacy":
        return partial(label_rows, labeller=SpacyWordTypes(options.spacy_pipeline))
    return None


VALIDATION_SPLITS = ("val", "valid", "validation", "dev")
"""Names of the split to be judged by, the likeliest first, in letters of any case."""


def validation_split(options: TrainingOptions, data: PreparedDataset) -> str | None:
    """The split to be judged by: the one asked for, else the one that is named so; None where there is none."""
    named = {split.lower(): split for split in data.splits if split != options.train_split}
    found = (named[name] for name in VALIDATION_SPLITS if name in named)
    return options.validation_split or next(found, None)


def _validation_set(
    options: TrainingOptions, data: PreparedDataset, vocabulary: Vocabulary, config: ModelConfig
) -> ReferringImages | None:
    split = validation_split(options, data)
    if split is None or not options.validate_every:
        return None
    return ReferringImages(
        data,
        split,
        vocabulary,
        config.image,
        max_words=config.text.max_words,
        expressions_per_image=8,
        shuffle=False,
        render=options.render_on == "cpu",
    )
