"""The networks that an ablation compares, as changes of the paper's network at the sizes that all share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from cmpc.models.config import CMPCConfig, GroundedConfig, ModelConfig, RRNConfig, with_network

VariantName = Literal[
    "rrn",
    "concatenation",
    "entity-perception",
    "relation-reasoning",
    "both",
    "exchange-1",
    "exchange-2",
    "no-conv-lstm",
    "no-word-type-gating",
    "grounded-reasoning",
    "second-look",
    "selection",
    "preset",
]


@dataclass(frozen=True)
class Variant:
    """One network of the comparison."""

    title: str
    """How tables call it."""
    of: Callable[[ModelConfig], ModelConfig]
    """Makes it of any network, whose sizes it keeps.

    Raises:
        ValueError: the network has what this one cannot have.
    """
    learns_word_types: bool = True
    """Whether it learns from the labels of word types, where there are any."""


FULL: dict[str, Any] = {
    "entity_perception": True,
    "relation_reasoning": True,
    "word_type_gating": True,
    "exchange_rounds": 2,
    "conv_lstm": True,
}
"""All parts of the paper's network."""


def _cmpc(config: ModelConfig, **parts: Any) -> ModelConfig:
    return with_network(config, CMPCConfig, **{**FULL, **parts})


def _grounded(config: ModelConfig, *, second_look: bool = False, selection: bool = False) -> ModelConfig:
    return with_network(config, GroundedConfig, **FULL, second_look=second_look, selection=selection)


VARIANTS: dict[VariantName, Variant] = {
    "rrn": Variant("recurrent refinement network", partial(with_network, kind=RRNConfig)),
    # The paper's baseline knows no word types: its sentence is all words.
    "concatenation": Variant(
        "concatenation",
        partial(_cmpc, entity_perception=False, relation_reasoning=False, word_type_gating=False, exchange_rounds=0),
        learns_word_types=False,
    ),
    "entity-perception": Variant("+ entity perception", partial(_cmpc, relation_reasoning=False, exchange_rounds=0)),
    "relation-reasoning": Variant(
        "+ relation-aware reasoning", partial(_cmpc, entity_perception=False, exchange_rounds=0)
    ),
    "both": Variant("+ both (the CMPC module)", partial(_cmpc, exchange_rounds=0)),
    "exchange-1": Variant("+ both, exchange of 1 round", partial(_cmpc, exchange_rounds=1)),
    "exchange-2": Variant("+ both, exchange of 2 rounds: the full network", _cmpc),
    "no-conv-lstm": Variant("full, without ConvLSTM", partial(_cmpc, conv_lstm=False)),
    "no-word-type-gating": Variant("full, without word-type gating", partial(_cmpc, word_type_gating=False)),
    "grounded-reasoning": Variant("full, with grounded reasoning", _grounded),
    "second-look": Variant("full, with grounded reasoning and a second look", partial(_grounded, second_look=True)),
    "selection": Variant(
        "full, with grounded reasoning, a second look and selection",
        partial(_grounded, second_look=True, selection=True),
    ),
    "preset": Variant("the preset as it is", lambda config: config),
}
"""Rows of the paper's ablation with several levels, and from ``grounded-reasoning`` on what is not the paper's. All but
``no-conv-lstm`` bring the levels together by the ConvLSTM; up to ``both`` nothing is exchanged between them. Entity
perception and relation-aware reasoning come with the word types, by which they are defined (paper, section 3.2)."""
