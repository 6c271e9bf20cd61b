"""From a meaning to English: synonyms, word order and a little filling, with the type of every word and its things.

Articles and filling are ``unnecessary``; nouns are ``entity``; colour, size and place in the photo ("leftmost", "second
from the left", "at the back") are ``attribute``; words that tie a thing to another one ``relation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from cmpc.data.vocabulary import tokenize
from cmpc.phrasing import kinds
from cmpc.phrasing.meaning import (
    Description,
    GroundedExpression,
    IsNot,
    KindAndColour,
    Place,
    RankedChoice,
    RelatedTo,
    Wears,
)
from cmpc.phrasing.relations import UNCLEAR, YES
from cmpc.phrasing.resolver import ReferenceResolver

ENTITY, ATTRIBUTE, RELATION, UNNECESSARY = "entity", "attribute", "relation", "unnecessary"
MAXIMUM_WORDS = 20

COLOURS: dict[str, tuple[str, ...]] = {"grey": ("grey", "gray"), "beige": ("beige", "tan"), "purple": ("purple",)}
BEFORE_NOUN: dict[str, tuple[str, ...]] = {
    "left": ("left", "leftmost"),
    "right": ("right", "rightmost"),
    "top": ("top", "upper"),
    "bottom": ("bottom", "lower"),
    "front": ("front", "nearest"),
    "back": ("back", "farthest"),
    "middle": ("middle",),
    "largest": ("biggest", "largest"),
    "smallest": ("smallest",),
}
AFTER_NOUN: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "to the left", "on the far left", "on the left side"),
    "right": ("on the right", "to the right", "on the far right", "on the right side"),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
    "front": ("in front", "in the foreground", "closest to the camera", "nearest to us"),
    "back": ("at the back", "in the back", "in the background", "farthest from the camera"),
    "middle": ("in the middle", "in the center", "in the centre"),
}
BETTER = {"largest": ("bigger", "larger"), "smallest": ("smaller",), "left": ("left",), "right": ("right",)}
"""Of two, with "of the two dogs" after it."""
ORDINALS = {2: "second", 3: "third", 4: "fourth"}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
ALL = ("the", "all the", "all")
"""Begins a phrase about several things; "both" and numbers do too."""
PLACES: dict[str, tuple[str, ...]] = {
    "left": ("on the left side of the photo", "in the left half of the picture", "on the left of the picture"),
    "right": ("on the right side of the photo", "in the right half of the picture", "on the right of the picture"),
    "top": ("at the top of the picture", "in the upper half of the photo", "in the upper part of the picture"),
    "bottom": ("at the bottom of the picture", "in the lower half of the photo", "in the lower part of the picture"),
    "centre": ("in the middle of the picture", "in the center of the photo", "in the centre of the image"),
    "top left": ("in the top left corner", "at the top left", "in the upper left of the picture"),
    "top right": ("in the top right corner", "at the top right", "in the upper right of the picture"),
    "bottom left": ("in the bottom left corner", "at the bottom left", "in the lower left of the picture"),
    "bottom right": ("in the bottom right corner", "at the bottom right", "in the lower right of the picture"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "front": ("in front of",),
    "behind": ("behind",),
    "next to": ("next to", "beside", "by", "near"),
    "above": ("above", "over"),
    "below": ("below", "beneath"),
    "on": ("on", "on top of"),
    "under": ("under", "underneath"),
    "riding": ("riding", "on"),
    "ridden by": ("ridden by", "under"),
    "worn by": ("of", "worn by"),
    "between": ("between", "in between"),
    "larger": ("larger than", "bigger than"),
    "smaller": ("smaller than",),
    "same colour": ("of the same colour as", "of the same color as"),
    "nearest": ("nearest to", "closest to"),
    "farthest": ("farthest from", "farthest away from"),
}
_HOLDING = ("umbrella", "tennis racket", "baseball bat", "cell phone", "toothbrush", "frisbee", "hair drier", "kite")
WITH = dict.fromkeys(_HOLDING, ("holding", "with")) | {
    "handbag": ("with", "carrying"),
    "bag": ("with", "carrying"),
    "backpack": ("with", "carrying", "wearing"),
    "tie": ("wearing", "with"),
    "baseball glove": ("wearing", "with"),
    "dress": ("in", "wearing"),
}
"""What a person does with a thing."""
CARRIED = dict.fromkeys(_HOLDING, ("held by", "of")) | {
    "handbag": ("of", "carried by"),
    "bag": ("of", "carried by"),
    "backpack": ("of", "carried by"),
    "suitcase": ("of", "carried by"),
    "tie": ("worn by", "of"),
    "baseball glove": ("worn by", "of"),
}
"""How a thing belongs to a person."""
WEARING = ("in", "wearing", "dressed in")
ADORNED = ("hat", "sunglasses", "scarf", "tie", "shoes", "boots")
"""Clothes that one says "with" of, rather than "in"."""
OPENINGS = ("find", "show me", "segment", "please find", "select", "look for", "can you find", "i want")
CLOSINGS = ("in the picture", "in the photo", "please")
ENDS_IN_PLACE = ("picture", "photo", "image")


class Word(NamedTuple):
    """A word as it is said; some are several tokens ("t-shirt")."""

    text: str
    kind: str
    things: tuple[int, ...] = ()
    """Numbers of the things that it speaks about."""


class Realiser:
    """Says meanings in varied words, drawn from a random generator."""

    def __init__(self, rng: Random, resolver: ReferenceResolver, *, loose_names: bool = False) -> None:
        """
        Args:
            rng: draws the words.
            resolver: of the scene that is spoken of.
            loose_names: as for ``expressions.describe``.
        """
        self.rng = rng
        self.resolver = resolver
        self._names: dict[str, int] = {}
        self._loose_names = _loose_names(resolver) if loose_names else {}

    def say(self, description: Description) -> list[Word] | None:
        """The words, or None where they would be too many."""
        self._names = {}
        phrase = self._phrase(description, self._described(description))
        has_article = self.rng.random() < 0.7
        if has_article or description.about.concept is None:
            phrase = [Word("the", UNNECESSARY), *phrase]
        if self.rng.random() < 0.06:
            article = [] if phrase[0].text == "the" else [Word("the", UNNECESSARY)]
            phrase = [*_words(self._pick(OPENINGS), UNNECESSARY), *article, *phrase]
        if self.rng.random() < 0.05 and phrase[-1].text not in ENDS_IN_PLACE:
            phrase = [*phrase, *_words(self._pick(CLOSINGS), UNNECESSARY)]
        return phrase if len(phrase) <= MAXIMUM_WORDS else None

    def say_several(self, description: Description, count: int) -> list[Word] | None:
        """The words of a phrase that denotes so many things, or None where they would be too many.

        Args:
            description: without a choice; its conditions are places, and relations that are not denied.
            count: of the things, from 2.
        """
        self._names = {}
        things = self._described(description)
        begins = [
            *ALL,
            *([f"the {NUMBERS[count]}"] * 2 if count in NUMBERS else []),
            *(["both"] * 2 if count == 2 else []),
        ]
        begin = self.rng.choice(begins)
        told = {"both", "all", *NUMBERS.values()}
        before = [Word(word, ATTRIBUTE, things) if word in told else Word(word, UNNECESSARY) for word in begin.split()]
        after: list[Word] = []
        for condition in description.conditions:
            if isinstance(condition, Place):
                after += _place_words(self._pick(PLACES[condition.name]), things)
            elif isinstance(condition, RelatedTo):
                anchor, phrase = self._anchor(condition.anchors[0])
                link = _words(self._pick(("that are", "which are")), UNNECESSARY) if self.rng.random() < 0.2 else []
                after += [*link, *_words(self._pick(RELATIONS[condition.name]), RELATION, anchor), *phrase]
        phrase = [*before, *self._named(description.about, things, plural=True), *after]
        return phrase if len(phrase) <= MAXIMUM_WORDS else None

    def _described(self, description: Description) -> tuple[int, ...]:
        """The things that a phrase's own noun and colour fit."""
        return tuple(i for i, one in enumerate(self.resolver.described(description.about)) if one == YES)

    def _phrase(self, description: Description, things: tuple[int, ...]) -> list[Word]:
        """A noun phrase without its article: [rank] [colour] noun [clauses]."""
        about, choice = description.about, description.choice
        before: list[Word] = []
        after: list[Word] = []
        if choice is not None:
            if self._says_number(description, things):
                return self._one_of(description, things)
            before, after = self._chosen(choice, about, things)
        for condition in description.conditions:
            if isinstance(condition, RelatedTo):
                after += self._related(condition, about)
            elif isinstance(condition, Wears):
                after += self._worn(condition, description)
            elif isinstance(condition, Place):
                after += _place_words(self._pick(PLACES[condition.name]), things)
            else:
                after += self._denied(condition, about)
        return [*before, *self._named(about, things), *after]

    def _named(self, about: KindAndColour, things: tuple[int, ...], *, plural: bool = False) -> list[Word]:
        colour = [] if about.colour is None else _words(self._colour(about.colour), ATTRIBUTE, things)
        return [*colour, *_words(self._name(about.concept, plural=plural), ENTITY, things)]

    def _name(self, concept: str | None, *, plural: bool = False) -> str:
        if concept is None:
            return "ones" if plural else "one"
        noun = kinds.noun(concept)
        loose = () if plural else self._loose_names.get(concept, ())
        number = self._names.setdefault(concept, self._number_of_name(len(noun.names), len(loose)))  # all along
        names = noun.plurals if plural else (*noun.names, *loose)
        return names[number] if number < len(names) else names[0]

    def _number_of_name(self, count: int, loose: int) -> int:
        """A name of a noun, or one of its loose names, which are said more often the more there are."""
        if loose and self.rng.random() * (loose + max(loose, 3)) < loose:
            return count + self.rng.randrange(loose)
        return self._weighted(count)

    def _says_number(self, description: Description, things: tuple[int, ...]) -> bool:
        """Whether to say "the bigger of the two dogs"."""
        choice = description.choice
        assert choice is not None, "asked of choices only"
        usual = choice.name in BETTER and choice.rank == 1 and not choice.negated and not description.conditions
        known = description.about.concept is not None and len(things) in NUMBERS
        return usual and known and self.rng.random() < 0.15

    def _one_of(self, description: Description, things: tuple[int, ...]) -> list[Word]:
        choice = description.choice
        assert choice is not None, "asked of choices only"
        words = BETTER if len(things) == 2 else BEFORE_NOUN
        first = [Word(self._pick(words[choice.name]), ATTRIBUTE, things)]
        if choice.name in ("left", "right"):
            first.append(Word("one", ENTITY, things))
        middle = [*_words("of the", UNNECESSARY), Word(NUMBERS[len(things)], ATTRIBUTE, things)]
        return [*first, *middle, *self._named(description.about, things, plural=True)]

    def _chosen(
        self, choice: RankedChoice, about: KindAndColour, things: tuple[int, ...]
    ) -> tuple[list[Word], list[Word]]:
        """Words before the colour and after the noun that say which one of several."""
        if choice.negated:
            denied = Word("not", ATTRIBUTE)
            return [], [*self._link(about, 0.7), denied, *_words(AFTER_NOUN[choice.name][0], ATTRIBUTE)]
        link = self._link(about, 0.2)
        if choice.anchor is not None:
            anchor, phrase = self._anchor(choice.anchor)
            return [], [*link, *_words(self._pick(RELATIONS[choice.name]), RELATION, anchor), *phrase]
        if choice.rank > 1:
            start = _words(ORDINALS[choice.rank], ATTRIBUTE, things)
            end = _words(f"from the {choice.name}", ATTRIBUTE, things)
            return start, end
        if choice.name not in AFTER_NOUN or self.rng.random() < 0.45:
            return _words(self._pick(BEFORE_NOUN[choice.name]), ATTRIBUTE, things), []
        return [], [*link, *_words(self._pick(AFTER_NOUN[choice.name]), ATTRIBUTE, things)]

    def _related(self, relation: RelatedTo, about: KindAndColour) -> list[Word]:
        first = relation.anchors[0]
        if relation.name == "between":
            return self._between(relation, about)
        things, phrase = self._anchor(first, may_be_indefinite=relation.name in ("with", "riding", "on", "under"))
        if relation.name == "with":
            verbs = WITH.get(first.about.concept or "", ("with",))
            if relation.negated:
                return [Word("without", RELATION, things), *phrase]
            verb = self._pick(verbs)
            link = self._link(about, 0.15) if verb.endswith("ing") else []
            return [*link, Word(verb, RELATION, things), *phrase]
        is_carried = relation.name == "carried by"
        said = self._pick(CARRIED.get(about.concept or "", ("of",)) if is_carried else RELATIONS[relation.name])
        if said == "of":
            return [Word("of", RELATION, things), *phrase]
        link = self._link(about, 1.0 if relation.negated or relation.name in ("larger", "smaller") else 0.2)
        if relation.negated:
            link.append(Word("not", RELATION, things))
        return [*link, *_words(said, RELATION, things), *phrase]

    def _between(self, relation: RelatedTo, about: KindAndColour) -> list[Word]:
        link, said = self._link(about, 0.2), self._pick(RELATIONS["between"])
        if len(relation.anchors) == 1:
            ends = self._described(relation.anchors[0])
            words = [*link, *_words(said, RELATION, ends), Word("the", UNNECESSARY), Word("two", ATTRIBUTE, ends)]
            return [*words, *self._named(relation.anchors[0].about, ends, plural=True)]
        (one, phrase), (other, second) = (self._anchor(anchor) for anchor in relation.anchors)
        ends = tuple(sorted({*one, *other}))
        return [*link, *_words(said, RELATION, ends), *phrase, Word("and", RELATION, ends), *second]

    def _anchor(
        self, description: Description, *, may_be_indefinite: bool = False
    ) -> tuple[tuple[int, ...], list[Word]]:
        """The thing that a phrase leads to, and the phrase with its article."""
        found = self.resolver.refers_to(description)
        things = () if found is None else (found,)
        phrase = self._phrase(description, things)
        plain = description.choice is None and not description.conditions and description.about.concept is not None
        article = "the"
        if may_be_indefinite and plain and self.rng.random() < 0.4:
            noun = kinds.noun(description.about.concept or "")
            article = kinds.indefinite(phrase[0].text) if noun.has_article else ""
        return things, [*([Word(article, UNNECESSARY)] if article else []), *phrase]

    def _worn(self, wears: Wears, description: Description) -> list[Word]:
        """ "in a red coat and black shoes with a handbag"."""
        wearer = self.resolver.refers_to(description)
        words: list[Word] = []
        said_before: bool | None = None
        for item in wears.items:
            concept = item.concept or ""
            found = None if wearer is None else self.resolver.wears(wearer, item)[1]
            things = () if found is None else (found,)
            is_carried = concept in kinds.WORN and concept != "tie"
            if said_before is None:
                verb = self._pick(WITH.get(concept, ("with", "wearing") if concept in ADORNED else WEARING))
                words += self._link(description.about, 0.2) if verb not in ("in", "with") else []
            else:
                verb = "with" if is_carried and not said_before else "and"
            words += _words(verb, RELATION, things)
            named = self._named(item, things)
            if kinds.noun(concept).has_article:
                words.append(Word(self._pick((kinds.indefinite(named[0].text), "the")), UNNECESSARY))
            words += named
            said_before = is_carried
        return words

    def _denied(self, condition: IsNot, about: KindAndColour) -> list[Word]:
        link = self._link(about, 1.0)
        if condition.about.colour is not None:
            return [*link, Word("not", ATTRIBUTE), *_words(self._colour(condition.about.colour), ATTRIBUTE)]
        name = _words(self._name(condition.about.concept), ENTITY)
        return [*link, Word("not", ATTRIBUTE), Word(kinds.indefinite(name[0].text), UNNECESSARY), *name]

    def _link(self, about: KindAndColour, chance: float) -> list[Word]:
        """ "that is" or "who is", sometimes; "that are" of trousers."""
        if self.rng.random() >= chance:
            return []
        if about.concept in (kinds.PERSON, kinds.WOMAN):
            return _words(self._pick(("who is", "that is")), UNNECESSARY)
        is_plural = about.concept is not None and not kinds.noun(about.concept).has_article
        verb = "are" if is_plural else "is"
        return _words(self._pick((f"that {verb}", f"which {verb}")), UNNECESSARY)

    def _colour(self, colour: str) -> str:
        return self._pick(COLOURS.get(colour, (colour,)))

    def _pick(self, options: Sequence[str]) -> str:
        return options[self._weighted(len(options))]

    def _weighted(self, count: int) -> int:
        """The first, most usual one of some options most often."""
        return 0 if count == 1 or self.rng.random() < 0.5 else self.rng.randrange(count)


def expression_of(
    words: Sequence[Word], targets: tuple[int, ...], family: str, meaning: Description
) -> GroundedExpression:
    """Puts words together, and gives each token the type and the things of its word."""
    text = " ".join(word.text for word in words).lower()
    of_character = [word for word in words for _ in f"{word.text} "]
    tokens, at = tokenize(text), 0
    said = []
    for token in tokens:
        at = text.index(token, at)
        said.append(of_character[at])
        at += len(token)
    return GroundedExpression(
        text=text,
        targets=targets,
        family=family,
        words=tuple(tokens),
        word_types=tuple(word.kind for word in said),
        grounding=tuple(word.things for word in said),
        meaning=meaning,
    )


def _loose_names(resolver: ReferenceResolver) -> dict[str, tuple[str, ...]]:
    """Loose names of the kinds of which the photo surely shows one at most."""
    women = YES in resolver.described(KindAndColour(kinds.WOMAN))
    names = {}
    for kind, loose in kinds.LOOSE_NAMES.items():
        shown = resolver.described(KindAndColour(kind))
        if shown.count(YES) <= 1 and UNCLEAR not in shown and resolver.counts(kind):
            names[kind] = kinds.LOOSE_NAMES_OF_WOMEN if women and kind == kinds.PERSON else loose
    return names


def _words(text: str, kind: str, things: tuple[int, ...] = ()) -> list[Word]:
    """Words of one type; articles are always unnecessary."""
    return [Word(word, UNNECESSARY) if word == "the" else Word(word, kind, things) for word in text.split()]


def _place_words(text: str, things: tuple[int, ...]) -> list[Word]:
    """Words of a place in the photo."""
    plain = ("the", "of", "photo", "picture", "image")
    return [Word(word, UNNECESSARY) if word in plain else Word(word, ATTRIBUTE, things) for word in text.split()]
