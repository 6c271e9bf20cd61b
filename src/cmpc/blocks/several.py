"""Finds expressions about several blocks: "the red cubes", "both balls", "the three things left of the arch"."""

from __future__ import annotations

from collections.abc import Collection

from cmpc.blocks.expressions import COMPARING, Describer, compared_attribute
from cmpc.blocks.meaning import SEVERAL, About, Choice, Expression, Meaning, Relation
from cmpc.blocks.relations import DIRECTIONS

KINDS = {"looks": 8, "relation": 4, "location": 3, "comparison": 2, "negation": 2}
"""What tells the blocks, and how often it is tried first."""
TRIES = 12
"""Draws for each kind before another one is tried."""


def describe_several(describer: Describer, targets: Collection[int]) -> list[Expression]:
    """One expression about two or more of the targets and about nothing else; none where a scene gives none."""
    first = describer.rng.choices(list(KINDS), list(KINDS.values()))[0]
    for kind in (first, *describer.shuffled([kind for kind in KINDS if kind != first])):
        for _ in range(TRIES):
            meaning = meaning_of_several(describer, describer.rng.choice(sorted(targets)), kind)
            fitting = None if meaning is None else describer.solver.denotes(meaning)
            if meaning is None or fitting is None or len(fitting) < 2 or not set(fitting) <= set(targets):
                continue
            if kind != "looks" and len(fitting) == describer.solver.described(meaning.about).sum():
                continue  # the noun and its looks alone would tell them
            said = describer.speaker.say_several(meaning, len(fitting))
            if said is not None:
                return [Expression(said[0], fitting, SEVERAL, said[1], meaning)]
    return []


def meaning_of_several(describer: Describer, target: int, kind: str) -> Meaning | None:
    """One draw of what fits a block, and perhaps others; None where nothing of this kind does."""
    rng = describer.rng
    if kind == "negation":
        return describer.meaning(target, "negation")
    name = rng.choice([one for one in COMPARING if one not in ("nearest", "farthest")])
    unsaid = compared_attribute(name) if kind == "comparison" else None
    about = describer.shared(target, unsaid=unsaid)
    if about is None:
        return None
    if kind == "looks":
        return None if about == About() else Meaning(about)
    if kind == "location":
        alike = int(describer.solver.described(about).sum())
        if alike < 3:
            return None
        return Meaning(about, choice=Choice(rng.choice(list(DIRECTIONS)), count=rng.randint(2, min(alike - 1, 3))))
    if kind == "comparison":
        anchor = describer.unique(rng.randrange(len(describer.scene.blocks)), unsaid=unsaid)
        return None if anchor is None else Meaning(about, (Relation(name, (anchor,)),))
    condition = describer.related(target)
    return None if condition is None else Meaning(about, (condition,))
