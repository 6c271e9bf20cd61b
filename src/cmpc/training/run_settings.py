"""What decides the result of a run: written down when it begins, compared when it is resumed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmpc.deprecation import warn_deprecated
from cmpc.errors import UsageError, UserError
from cmpc.models.config import ModelConfig
from cmpc.models.config_upgrade import upgrade
from cmpc.training.options import flag

FORMAT_VERSION = 2
MAY_CHANGE = frozenset(
    (
        *("data", "out", "resume", "images", "vocabulary", "embeddings", "initial_model", "backbone_weights"),
        *("accelerator", "devices", "nodes", "strategy", "workers", "save_every", "log_every"),
        *("compile", "deterministic", "accumulate"),
        *("model", "preset", "backbone", "network"),
    )
)
"""Options that may be other ones when a run is resumed: where things are, and what computes. The data, the vocabulary
and the network are compared by what they hold, and ``accumulate`` where it decides the result."""


def run_settings(options: Any, *, network: ModelConfig, fingerprint: str, **decided: Any) -> dict[str, Any]:
    """What decides the result of a run, as JSON values.

    Args:
        options: the dataclass of what the user asked for, with the network under ``model``.
        network: the network, as it is built.
        fingerprint: stands for the data and the words.
        decided: options with their defaults filled in.
    """
    chosen = {name: value for name, value in vars(options).items() if name not in MAY_CHANGE}
    settings = {
        "format_version": FORMAT_VERSION,
        "options": {**chosen, **decided},
        "network": network.to_dict(),
        "fingerprint": fingerprint,
    }
    return dict(json.loads(json.dumps(settings)))


def check_same_run(before: Mapping[str, Any], now: Mapping[str, Any], options: Any, folder: Path) -> None:
    """Refuses to continue a run with something else.

    Args:
        before: the settings that the run began with, of this format or of the first.
        now: those of today.
        options: the dataclass of options; gives the defaults of those that came after the run began.
        folder: of the run.

    Raises:
        UsageError: names the options that differ, or says that the data do.
        UserError: ``before`` is damaged or of a later format.
    """
    network, wanted = _network_of(before, folder), ModelConfig.from_dict(now["network"])
    if not says_splitting(before):
        wanted = wanted.changed(text={"splitting": network.text.splitting})
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    chosen = defaults | before.get("options", {})
    changed = [(name, chosen[name], value) for name, value in now["options"].items() if chosen[name] != value]
    changed += differences(network, wanted)
    if changed:
        listed = "; ".join(f"{flag(name)} was {was} and is {value}" for name, was, value in changed)
        raise UsageError(f"the run in {folder} began with other options ({listed}): give the same ones to resume it.")
    if before.get("fingerprint") != now["fingerprint"]:
        raise UsageError(
            f"the data or the vocabulary are not those that the run in {folder} began with: "
            "give the same ones to resume it."
        )


def says_splitting(settings: Mapping[str, Any]) -> bool:
    """Whether settings say how expressions are split into words. Those of earlier versions, with one way, do not."""
    network = settings.get("network")
    text = network.get("text") if isinstance(network, dict) else None
    return isinstance(text, dict) and "splitting" in text


def differences(before: ModelConfig, now: ModelConfig) -> list[tuple[str, Any, Any]]:
    """Name and both values of each field in which networks differ; of a part of another kind, its kind. The size of the
    vocabulary is left out: it is the data's."""
    changed: list[tuple[str, Any, Any]] = []
    for part in ("image", "backbone", "text", "network"):
        one, other = getattr(before, part), getattr(now, part)
        if type(one) is not type(other):
            changed.append((part, one.kind, other.kind))
            continue
        values = ((name, value, getattr(other, name)) for name, value in vars(one).items() if name != "vocabulary_size")
        changed += [(f"{part}.{name}", value, theirs) for name, value, theirs in values if value != theirs]
    return changed


def _network_of(settings: Mapping[str, Any], folder: Path) -> ModelConfig:
    """The network of the settings; the first format had all of its fields in one place, and among the options too."""
    version = settings.get("format_version", 1)
    if version not in (1, FORMAT_VERSION):
        raise UserError(f"the run in {folder} was begun by a newer version of cmpc: update this one.")
    if version == 1:
        warn_deprecated(f"the run {folder} of format 1", removed_in="2.0", instead="finish it before")
    values = settings.get("network", {})
    try:
        return ModelConfig.from_dict(upgrade({"format_version": version, "network": values, "model": values}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{folder / 'run.json'} is damaged: begin a new run in another folder.") from None
