"""What things are called: names and plurals of COCO's 80 kinds and of some more, classes above them, what they do.

A kind is the name of a category. A *concept* is what a noun stands for: a kind, a class of kinds such as "animal", or
"woman", which only clothes tell. A kind that no table knows is called by its own name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

PERSON, WOMAN = "person", "woman"
LOOSE_NAMES = {
    PERSON: ("man", "woman", "guy", "lady", "boy", "girl", "kid"),
    "dog": ("puppy",),
    "cat": ("kitten",),
    "sheep": ("lamb",),
    "cow": ("bull", "calf"),
    "horse": ("pony", "foal"),
}
"""What people also call a thing that they see, though its mask does not tell how old it is, or of which sex."""
LOOSE_NAMES_OF_WOMEN = ("woman", "lady", "girl")
"""Of those of a person, what women are called."""

_NAMES = """
person: person/people
bicycle: bicycle
car: car, automobile
motorcycle: motorcycle, motorbike
airplane: airplane, plane, aeroplane
bus: bus
train: train
truck: truck
boat: boat
traffic light: traffic light, stoplight
fire hydrant: fire hydrant, hydrant
stop sign: stop sign
parking meter: parking meter
bench: bench
bird: bird
cat: cat, kitty
dog: dog
horse: horse
sheep: sheep/sheep
cow: cow
elephant: elephant
bear: bear
zebra: zebra
giraffe: giraffe
backpack: backpack, rucksack
umbrella: umbrella
handbag: handbag, purse
tie: tie, necktie
suitcase: suitcase
frisbee: frisbee
skis=: skis
snowboard: snowboard
sports ball: ball
kite: kite
baseball bat: baseball bat, bat
baseball glove: baseball glove, glove
skateboard: skateboard
surfboard: surfboard
tennis racket: tennis racket, racket
bottle: bottle
wine glass: wine glass
cup: cup
fork: fork
knife: knife/knives
spoon: spoon
bowl: bowl
banana: banana
apple: apple
sandwich: sandwich
orange: orange
broccoli: broccoli/broccoli
carrot: carrot
hot dog: hot dog
pizza: pizza
donut: donut, doughnut
cake: cake
chair: chair
couch: couch, sofa
potted plant: potted plant, plant
bed: bed
dining table: table, dining table
toilet: toilet
tv: tv
laptop: laptop
mouse: mouse/mice, computer mouse/computer mice
remote: remote, remote control
keyboard: keyboard
cell phone: cell phone, phone, mobile phone
microwave: microwave
oven: oven
toaster: toaster
sink: sink
refrigerator: refrigerator, fridge
book: book
clock: clock
vase: vase
scissors=: scissors
teddy bear: teddy bear, teddy
hair drier: hair dryer, hair drier
toothbrush: toothbrush
tiger: tiger
deer: deer/deer
otter: otter
turtle: turtle
monkey: monkey
dress: dress
coat: coat
jacket: jacket
blouse: blouse
shirt: shirt
t-shirt: t-shirt
skirt: skirt
pants=: pants, trousers
jeans=: jeans
shorts=: shorts
shoes=: shoes
boots=: boots
hat: hat
sunglasses=: sunglasses
scarf: scarf/scarves
sweater: sweater
blazer: blazer
cardigan: cardigan
vest: vest
leggings=: leggings
"""
"""Kind: its names, the most usual first, each with a plural where that is irregular; ``=``: said without "a"."""

_CLASSES = """
animal: bird cat dog horse sheep cow elephant bear zebra giraffe tiger deer otter turtle monkey
vehicle: car motorcycle bus truck ? bicycle train boat airplane
bike: bicycle motorcycle
bag: handbag backpack ? suitcase
seat: chair couch bench ? bed toilet
fruit: banana apple orange
vegetable: broccoli carrot
food: sandwich hot_dog pizza donut cake ? banana apple orange broccoli carrot
appliance: microwave oven toaster refrigerator ? sink hair_drier
glass: wine_glass ? cup
computer: laptop ? tv keyboard mouse
screen: tv ? laptop cell_phone
"""
"""Class: its kinds, and after the ``?`` those that some people would count in."""

_PLURALS_OF_CLASSES = {"bus": "buses", "glass": "glasses", "food": "food"}

VOC_KINDS = frozenset(
    ("person", "bird", "cat", "cow", "dog", "horse", "sheep", "airplane", "bicycle", "boat", "bus", "car", "motorcycle",
     "train", "bottle", "chair", "dining table", "potted plant", "couch", "tv")
)  # fmt: skip
"""VOC's 20 classes by COCO's names."""


@dataclass(frozen=True, slots=True)
class Noun:
    """How a concept is said."""

    names: tuple[str, ...]
    """The most usual name first."""
    plurals: tuple[str, ...]
    """Of each name."""
    has_article: bool = True
    """Whether "a" can stand before it: "a coat", but "jeans"."""


@dataclass(frozen=True, slots=True)
class KindClass:
    """Kinds under a common name."""

    kinds: frozenset[str]
    doubtful: frozenset[str]
    """Kinds that some people would count in."""
    core: frozenset[str]
    """Where all things of these kinds are annotated, the class can be counted."""


def regular_plural(name: str) -> str:
    """The plural by English rule: "bus" gives "buses", "puppy" "puppies"."""
    if re.search(r"(s|x|z|ch|sh)$", name):
        return f"{name}es"
    if re.search(r"[^aeiou\W]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}s"


def _read_names() -> dict[str, Noun]:
    nouns = {}
    for line in _NAMES.strip().splitlines():
        kind, names = line.split(":")
        pairs = [name.strip().partition("/") for name in names.split(",")]
        bare = kind.endswith("=")
        plurals = tuple(plural or (name if bare else regular_plural(name)) for name, _, plural in pairs)
        nouns[kind.rstrip("=")] = Noun(tuple(name for name, _, _ in pairs), plurals, not bare)
    return nouns


def _read_classes() -> dict[str, KindClass]:
    classes = {}
    for line in _CLASSES.strip().splitlines():
        name, members = line.split(":")
        sure, _, doubtful = members.partition("?")
        kinds, unsure = (frozenset(word.replace("_", " ") for word in part.split()) for part in (sure, doubtful))
        # Animals of other kinds than VOC's are so rare beside annotated photos of these that they do not count.
        core = kinds & VOC_KINDS if name == "animal" else kinds | unsure
        classes[name] = KindClass(kinds, unsure, core)
    return classes


_NOUNS = _read_names()
CLASSES = _read_classes()
KNOWN_KINDS = frozenset(_NOUNS)
COCO_KINDS = frozenset(list(_NOUNS)[:80])
ANIMALS = CLASSES["animal"].kinds

WOMENS = frozenset(("dress", "skirt", "blouse"))
"""Clothes that make people say "woman"."""
TELLING = frozenset(
    ("dress", "skirt", "coat", "jacket", "blazer", "hat", "sunglasses", "scarf", "tie", "shorts", "jeans", "boots",
     "handbag", "backpack")
)  # fmt: skip
"""Clothes that are worth saying without their colour."""
ALIKE = tuple(
    map(
        frozenset,
        (
            ("coat", "jacket", "blazer", "cardigan"),
            ("shirt", "t-shirt", "blouse", "sweater", "vest", "dress"),
            ("pants", "jeans", "leggings"),
            ("shoes", "boots"),
            ("skirt", "dress", "shorts"),
        ),
    )
)
"""Clothes that one person may call by the name of another."""

COATS = frozenset(("white", "black", "grey", "brown", "beige", "orange"))
"""Colours that animals have; another one comes from the light."""
NO_COLOUR = frozenset(
    ("person", "pizza", "sandwich", "hot dog", "dining table", "tv", "laptop", "potted plant", "wine glass", "clock",
     "traffic light", "mouse", "train", "zebra", "giraffe", "tiger", "broccoli", "carrot", "banana", "orange",
     "bed", "cake", "donut", "sink", "oven", "stop sign", "deer", "otter", "turtle", "elephant", "sunglasses",
     "knife", "fork", "spoon", "scissors", "skis", "tennis racket", "bicycle", "motorcycle")
)  # fmt: skip
"""Kinds of many colours, of one colour only, or that show what is behind them."""

ON_GROUND: frozenset[str] = frozenset(
    ANIMALS - {"bird", "monkey"} | {"person", "car", "motorcycle", "bicycle", "bus", "truck"}
)
"""Kinds that stand on the ground, so that what is lower in the photo is nearer."""
SEATS = frozenset(("couch", "chair", "bed", "bench"))
AT_REST = (
    ON_GROUND | SEATS | {"dining table", "toilet", "refrigerator", "oven", "sink", "train", "boat", "potted plant"}
)
"""Kinds that stand somewhere: higher in the photo, they are rather behind than above."""
ALOFT = frozenset(("airplane", "bird", "kite", "frisbee", "sports ball", "clock", "traffic light", "stop sign"))
"""Kinds that hang and fly."""
SITTING = frozenset(("person", "cat", "dog", "teddy bear"))
LYING = frozenset(
    ("bottle", "cup", "wine glass", "bowl", "vase", "laptop", "book", "pizza", "cake", "sandwich", "hot dog", "donut",
     "fork", "knife", "spoon", "potted plant", "banana", "apple", "orange", "cat", "keyboard", "mouse", "remote",
     "cell phone", "scissors", "teddy bear")
)  # fmt: skip
"""Kinds that lie and stand on tables."""
RIDDEN = frozenset(("horse", "elephant", "motorcycle", "bicycle"))
SUPPORTS = SEATS | RIDDEN | {"dining table", "boat"}
"""Kinds that carry other things."""
BOARDS = frozenset(("skateboard", "surfboard", "snowboard"))
WORN = frozenset(("tie", "backpack", "handbag"))
"""Kinds that belong to who they touch like clothes do."""
HELD = frozenset(
    ("umbrella", "tennis racket", "baseball bat", "cell phone", "toothbrush", "suitcase", "surfboard", "snowboard",
     "skateboard", "frisbee", "kite", "hair drier", "baseball glove")
)  # fmt: skip
"""Kinds that belong to the person whom they touch."""


@cache
def noun(concept: str) -> Noun:
    """How a kind, a class or "woman" is said."""
    if concept in _NOUNS:
        return _NOUNS[concept]
    if concept == WOMAN:
        return Noun(("woman", "lady"), ("women", "ladies"))
    return Noun((concept,), (_PLURALS_OF_CLASSES.get(concept) or regular_plural(concept),))


def all_words() -> list[str]:
    """The words of all names and plurals of kinds and classes and of loose names, in the order of the alphabet."""
    nouns = [noun(concept) for concept in (*_NOUNS, *CLASSES, WOMAN)]
    names = [name for one in nouns for name in (*one.names, *one.plurals)]
    names += [name for loose in LOOSE_NAMES.values() for name in loose]
    return sorted({word for name in names for word in re.findall(r"[a-z]+", name)})


@cache
def classes_of(kind: str) -> tuple[str, ...]:
    """The classes that a kind surely belongs to."""
    return tuple(name for name, members in CLASSES.items() if kind in members.kinds)


def colours_of(kind: str) -> frozenset[str] | None:
    """The colours by which things of a kind are told apart; None: any."""
    if kind in NO_COLOUR:
        return frozenset()
    if kind == "cat":  # ginger or tabby: what one calls brown, another does not
        return COATS - {"brown"}
    return COATS if kind in ANIMALS else None


def indefinite(word: str) -> str:
    """ "a" or "an" before a word."""
    return "an" if word[:1] in "aeio" or (word[:1] == "u" and word[:3] not in ("uni", "use")) else "a"
