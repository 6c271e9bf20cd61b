"""Finds expressions that fit nothing in a scene, made from what fits something by a change of one word or phrase."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from cmpc.blocks.expressions import Describer, compared_attribute
from cmpc.blocks.meaning import ABSENT, About, Expression, Lacks, Meaning, Relation
from cmpc.blocks.scene import ATTRIBUTES, SHAPES, VALUES
from cmpc.blocks.several import meaning_of_several
from cmpc.blocks.solver import anchors_of

Pair = tuple[str, str]
_Change = Callable[[Describer, About, frozenset[str]], "About | None"]
"""Changes a noun phrase, but does not say the attributes that are left open."""

FEWEST, MOST = 1, 2
"""Expressions that an image is given, each of another kind."""
ROUNDS, TRIES = 6, 10
"""Families whose expressions are changed before a kind is left out, and draws for each."""
SEVERAL_SHARE = 0.12
"""Share that asks for several blocks, as among the expressions that fit something: a plural tells nothing."""
ANCHOR_SHARE = 0.25
"""Share of the relations in which what is missing is the block that another one is related to."""
SECOND_SHARE, OPPOSITE_SHARE = 0.25, 0.4
"""Shares of ``absent relation``: a second relation is added, which holds for another block of the same looks; else the
relation is turned round; in the others, other blocks are asked for that stand so: something does, but not of these."""

_OPPOSITES = {"left": "right", "front": "behind", "on": "under", "larger": "smaller"}
OPPOSITES = {**_OPPOSITES, **{other: one for one, other in _OPPOSITES.items()}}
_CHANGED = {"entity": 2, "attribute": 4, "location": 5, "relation": 2, "chain": 1, "comparison": 3, "negation": 3}
_CHANGED_RELATIONS = {"relation": 4, "comparison": 3, "chain": 4, "negation": 2}
"""Families whose expressions are changed, and how often: together about as they fit something, so that words such as
"not" and "and" tell little."""
_CHANGED_SEVERAL = {"looks": 2, "relation": 1}
_CHANGED_RELATIONS_OF_SEVERAL = {"relation": 2, "comparison": 1}
"""Kinds of expressions about several that are changed."""


def describe_absent(describer: Describer, *, unsaid: frozenset[Pair] = frozenset()) -> list[Expression]:
    """One or two expressions that clearly fit no block of the scene; fewer where none are found.

    Args:
        describer: of the scene.
        unsaid: pairs of shape and colour that are not said.
    """
    kinds = describer.rng.sample(ABSENT, describer.rng.randint(FEWEST, MOST))
    found = [_absent(describer, family, unsaid) for family in kinds]
    return [one for one in found if one is not None]


def _absent(describer: Describer, family: str, unsaid: frozenset[Pair]) -> Expression | None:
    rng = describer.rng
    for _ in range(ROUNDS):
        several = rng.random() < SEVERAL_SHARE
        if family == "absent relation":
            shares = _CHANGED_RELATIONS_OF_SEVERAL if several else _CHANGED_RELATIONS
        else:
            shares = _CHANGED_SEVERAL if several else _CHANGED
        told_by = rng.choices(list(shares), list(shares.values()))[0]
        for _ in range(TRIES):
            target = rng.randrange(len(describer.scene.blocks))
            draw = meaning_of_several if several else Describer.meaning
            meaning = draw(describer, target, told_by)
            changed = None if meaning is None else _changed(describer, meaning, family)
            if changed is None or describer.solver.denotes(changed) != () or _says(changed, unsaid):
                continue
            said = describer.speaker.say_several(changed, None) if several else describer.speaker.say(changed)
            if said is not None:
                return Expression(said[0], (), family, said[1], changed)
    return None


def _changed(describer: Describer, meaning: Meaning, family: str) -> Meaning | None:
    """The meaning changed so that nothing may fit it; None where the draw failed."""
    if family == "absent relation":
        return _unrelated(describer, meaning)
    other = _other_noun if family == "absent noun" else _other_looks
    if (
        describer.rng.random() < ANCHOR_SHARE
        and (anchored := _with_other_anchor(describer, meaning, other)) is not None
    ):
        return anchored
    about = other(describer, meaning.about, _left_open(meaning))
    return None if about is None else dataclasses.replace(meaning, about=about)


def _unrelated(describer: Describer, meaning: Meaning) -> Meaning | None:
    """With a second relation, or the relation turned round, or asked of other blocks; there are such blocks beside the
    anchors."""
    rng = describer.rng
    first = meaning.conditions[0] if meaning.conditions else None
    if meaning.choice is not None or not isinstance(first, Relation):
        return None
    if len(meaning.conditions) == 1 and rng.random() < SECOND_SHARE:
        second = describer.related(rng.choice(np.flatnonzero(describer.solver.described(meaning.about)).tolist()))
        if second is None or second.anchors == first.anchors:
            return None
        meaning = dataclasses.replace(meaning, conditions=(first, second))
    elif len(meaning.conditions) == 1 and first.name in OPPOSITES and rng.random() < OPPOSITE_SHARE:
        meaning = dataclasses.replace(meaning, conditions=(dataclasses.replace(first, name=OPPOSITES[first.name]),))
    else:
        block = rng.randrange(len(describer.scene.blocks))
        about = describer.shared(block, unsaid=compared_attribute(first.name))
        if about is None:
            return None
        meaning = dataclasses.replace(meaning, about=about)
    return meaning if describer.has_double(meaning) else None


def _with_other_anchor(describer: Describer, meaning: Meaning, other: _Change) -> Meaning | None:
    """The meaning with one of its anchors changed; None where it has none, or the draw failed."""
    if meaning.choice is not None and meaning.choice.anchor is not None:
        anchor = meaning.choice.anchor
        about = other(describer, anchor.about, frozenset())
        if about is None:
            return None
        return dataclasses.replace(meaning, choice=dataclasses.replace(meaning.choice, anchor=Meaning(about)))
    relation = meaning.conditions[0] if meaning.conditions else None
    if not isinstance(relation, Relation):
        return None
    number = describer.rng.randrange(len(relation.anchors))
    about = other(describer, relation.anchors[number].about, _left_open(meaning))
    if about is None:
        return None
    anchors = tuple(Meaning(about) if n == number else anchor for n, anchor in enumerate(relation.anchors))
    return dataclasses.replace(meaning, conditions=(dataclasses.replace(relation, anchors=anchors),))


def _left_open(meaning: Meaning) -> frozenset[str]:
    """Attributes that the conditions speak of, so that the noun phrases do not."""
    conditions = meaning.conditions
    named = {one.attribute if isinstance(one, Lacks) else compared_attribute(one.name) for one in conditions}
    if meaning.choice is not None and meaning.choice.name in ("largest", "smallest"):
        named.add("size")
    return frozenset(name for name in named if name is not None)


def _other_noun(describer: Describer, about: About, left_open: frozenset[str]) -> About | None:
    """The same looks with a noun that no block of the scene has."""
    shown = {block.shape for block in describer.scene.blocks}
    missing = [shape for shape in SHAPES if shape not in shown]
    return None if "shape" in left_open else dataclasses.replace(about, shape=describer.rng.choice(missing))


def _other_looks(describer: Describer, about: About, left_open: frozenset[str]) -> About | None:
    """The same noun with looks that no block of that noun has: one that is said is changed, or one is added."""
    options = [name for name in ATTRIBUTES if name != "shape" and name not in left_open]
    said = [name for name in options if name in about.said()]
    attribute = describer.rng.choice(said or options)
    values = [value for value in VALUES[attribute] if value != getattr(about, attribute)]
    changed = dataclasses.replace(about, **{attribute: describer.rng.choice(values)})
    return None if describer.solver.described(changed).any() else changed


def _says(meaning: Meaning, pairs: frozenset[Pair]) -> bool:
    """Whether a noun phrase says one of the pairs of shape and colour."""
    phrases = (meaning, *anchors_of(meaning))
    return any((phrase.about.shape, phrase.about.colour) in pairs for phrase in phrases)
