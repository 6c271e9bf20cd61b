"""The networks that an ablation compares, as changes of the training's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
]


@dataclass(frozen=True)
class Variant:
    """One network of the comparison."""

    title: str
    """How tables call it."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``TrainingOptions`` that make it out of the full network."""


VARIANTS: dict[VariantName, Variant] = {
    "rrn": Variant("recurrent refinement network", {"network": "rrn"}),
    # The paper's baseline knows no word types: its sentence is all words.
    "concatenation": Variant(
        "concatenation",
        {
            "entity_perception": False,
            "relation_reasoning": False,
            "word_type_gating": False,
            "word_types": "none",
            "exchange_rounds": 0,
        },
    ),
    "entity-perception": Variant("+ entity perception", {"relation_reasoning": False, "exchange_rounds": 0}),
    "relation-reasoning": Variant("+ relation-aware reasoning", {"entity_perception": False, "exchange_rounds": 0}),
    "both": Variant("+ both (the CMPC module)", {"exchange_rounds": 0}),
    "exchange-1": Variant("+ both, exchange of 1 round", {"exchange_rounds": 1}),
    "exchange-2": Variant("+ both, exchange of 2 rounds: the full network"),
    "no-conv-lstm": Variant("full, without ConvLSTM", {"conv_lstm": False}),
    "no-word-type-gating": Variant("full, without word-type gating", {"word_type_gating": False}),
    "grounded-reasoning": Variant("full, with grounded reasoning", {"grounded_reasoning": True}),
    "second-look": Variant(
        "full, with grounded reasoning and a second look", {"grounded_reasoning": True, "second_look": True}
    ),
    "selection": Variant(
        "full, with grounded reasoning, a second look and selection",
        {"grounded_reasoning": True, "second_look": True, "selection": True},
    ),
}
"""Rows of the paper's ablation with several levels, and from ``grounded-reasoning`` on what is not the paper's. All but
``no-conv-lstm`` bring the levels together by the ConvLSTM; up to ``both`` nothing is exchanged between them. Entity
perception and relation-aware reasoning come with the word types, by which they are defined (paper, section 3.2)."""
