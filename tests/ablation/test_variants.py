"""Which networks an ablation compares, and that nothing but the named part differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from cmpc.ablation.options import AblationOptions, VariantRun, default_training
from cmpc.ablation.variants import VARIANTS, VariantName
from cmpc.errors import UsageError
from cmpc.models.build import build_network
from cmpc.models.config import GroundedConfig, ModelConfig, RRNConfig, preset, with_network
from cmpc.training.options import TrainingOptions
from networks import tiny_config

FULL = tiny_config(20)
MODULE_OFF = {"entity_perception": False, "relation_reasoning": False, "exchange_rounds": 0}


def without(**parts: Any) -> ModelConfig:
    return FULL.changed(network=parts)


EXPECTED: dict[VariantName, ModelConfig] = {
    "rrn": with_network(FULL, RRNConfig),
    "concatenation": without(**MODULE_OFF, word_type_gating=False),
    "entity-perception": without(relation_reasoning=False, exchange_rounds=0),
    "relation-reasoning": without(entity_perception=False, exchange_rounds=0),
    "both": without(exchange_rounds=0),
    "exchange-1": without(exchange_rounds=1),
    "exchange-2": FULL,
    "no-conv-lstm": without(conv_lstm=False),
    "no-word-type-gating": without(word_type_gating=False),
    "grounded-reasoning": with_network(FULL, GroundedConfig),
    "second-look": with_network(FULL, GroundedConfig, second_look=True),
    "selection": with_network(FULL, GroundedConfig, second_look=True, selection=True),
    "preset": FULL,
}


def options_of(variant: VariantName, seed: int = 0) -> TrainingOptions:
    training = default_training(data=Path("data"), out=Path("out"), model=FULL)
    return AblationOptions(training=training).trainings(VariantRun(variant, seed))[-1]


def test_every_variant_has_a_name_for_the_command_line() -> None:
    assert get_args(VariantName) == tuple(VARIANTS) == tuple(EXPECTED)
    assert len({variant.title for variant in VARIANTS.values()}) == len(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_is_the_full_network_but_for_the_named_parts(variant: VariantName) -> None:
    config = options_of(variant).model
    assert config is not None
    assert config == EXPECTED[variant]
    assert build_network(config).config == config


def test_variants_of_a_network_with_more_are_the_same() -> None:
    more = with_network(FULL, GroundedConfig, second_look=True)
    assert {name: variant.of(more) for name, variant in VARIANTS.items()} == {**EXPECTED, "preset": more}


@pytest.mark.parametrize(
    ("config", "impossible"),
    [
        (FULL, {"preset"}),
        (preset("paper"), {"grounded-reasoning", "second-look", "selection", "preset"}),
        (preset("grounded"), {"rrn", "preset"}),
        (preset("photos"), {"rrn"}),
    ],
    ids=["small", "paper", "grounded", "photos"],
)
def test_all_variants_that_a_network_can_become_are_compared_once(config: ModelConfig, impossible: set[str]) -> None:
    options = AblationOptions(training=default_training(data=Path("data"), out=Path("out"), model=config), seeds=1)
    assert {run.variant for run in options.runs} == set(VARIANTS) - impossible


def test_presets_that_have_less_than_the_full_network_can_be_compared() -> None:
    options = AblationOptions(training=default_training(data=Path("data"), out=Path("out"), model=preset("photos")))
    assert options.settings()["preset"] == "photos"
    larger = preset("photos", network={"exchange_rounds": 2})
    options = AblationOptions(training=default_training(data=Path("data"), out=Path("out"), model=larger))
    with pytest.raises(UsageError, match=r"--network\.exchange-rounds is what the variants differ in"):
        options.settings()


def test_runs_of_a_seed_differ_in_nothing_but_the_network_and_its_labels() -> None:
    alike = [
        {
            name: value
            for name, value in vars(options_of(variant, seed=3)).items()
            if name not in ("out", "model", "word_types")
        }
        for variant in VARIANTS
    ]
    assert all(options == alike[0] for options in alike)
    assert alike[0]["seed"] == 3
    labels = {variant: options_of(variant).word_types for variant in VARIANTS}
    assert [variant for variant, kind in labels.items() if kind == "none"] == ["concatenation"]
