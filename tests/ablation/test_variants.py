"""Which networks an ablation compares, and that nothing but the named part differs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest

from cmpc.ablation.options import AblationOptions, Run
from cmpc.ablation.variants import VARIANTS, VariantName
from cmpc.models import PRESETS, build_network
from cmpc.training.options import TrainingOptions, model_config

MODULE_OFF = {"entity_perception": False, "relation_reasoning": False, "exchange_rounds": 0}

DIFFERENCES: dict[VariantName, dict[str, Any]] = {
    "rrn": {"network": "rrn"},
    "concatenation": {**MODULE_OFF, "word_type_gating": False},
    "entity-perception": {"relation_reasoning": False, "exchange_rounds": 0},
    "relation-reasoning": {"entity_perception": False, "exchange_rounds": 0},
    "both": {"exchange_rounds": 0},
    "exchange-1": {"exchange_rounds": 1},
    "exchange-2": {},
    "no-conv-lstm": {"conv_lstm": False},
    "no-word-type-gating": {"word_type_gating": False},
    "grounded-reasoning": {"grounded_reasoning": True},
    "second-look": {"grounded_reasoning": True, "second_look": True},
    "selection": {"grounded_reasoning": True, "second_look": True, "selection": True},
}


def options_of(variant: VariantName, seed: int = 0) -> TrainingOptions:
    return AblationOptions(data=Path("data"), out=Path("out")).trainings(Run(variant, seed))[-1]


def test_every_variant_has_a_name_for_the_command_line() -> None:
    assert get_args(VariantName) == tuple(VARIANTS) == tuple(DIFFERENCES)
    assert len({variant.title for variant in VARIANTS.values()}) == len(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_is_the_full_network_but_for_the_named_parts(variant: VariantName) -> None:
    config = model_config(options_of(variant), vocabulary_size=20, embedding_channels=None)
    full = dataclasses.replace(PRESETS["small"], vocabulary_size=20)
    assert config == dataclasses.replace(full, **DIFFERENCES[variant])
    assert build_network(config).config == config


def test_runs_of_a_seed_differ_in_nothing_but_the_network_and_its_labels() -> None:
    parts = {"out", "network", "word_types", *(field for changes in DIFFERENCES.values() for field in changes)}
    alike = [
        {name: value for name, value in vars(options_of(variant, seed=3)).items() if name not in parts}
        for variant in VARIANTS
    ]
    assert all(options == alike[0] for options in alike)
    assert alike[0]["seed"] == 3
