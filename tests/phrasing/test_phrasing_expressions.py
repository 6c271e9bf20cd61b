"""Expressions about drawn scenes: true by a margin, said in words that a second reader understands alike."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from drawn_scenes import HEIGHT, WIDTH, Box, drawn, random_boxes, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_reading import PlainReader

from cmpc.conventions import WORD_TYPES
from cmpc.data.vocabulary import tokenize
from cmpc.phrasing.expressions import describe, describe_absent, describe_several
from cmpc.phrasing.meaning import OF_ONE, GroundedExpression
from cmpc.phrasing.things import PhotoScene


def wordings(
    boxes: list[Box], annotated: str = "coco80", *, wanted: int = 12, seeds: int = 4
) -> list[GroundedExpression]:
    """What is said of a scene under several seeds."""
    made = scene(boxes, annotated)
    return [one for seed in range(seeds) for one in describe(made, Random(seed), wanted=wanted)]


def texts_of(boxes: list[Box], target: int, annotated: str = "coco80", family: str | None = None) -> set[str]:
    """What is said of one thing, without openings and closings."""
    said = wordings(boxes, annotated, wanted=16, seeds=12)
    return {one.text for one in said if one.target == target and family in (None, one.family)}


def check_by_second_reading(seed: int) -> None:
    boxes = random_boxes(Random(seed))
    reader = PlainReader(drawn(boxes), HEIGHT, WIDTH)
    for expression in describe(scene(boxes), Random(seed), wanted=8):
        assert reader.answers(expression.text) == [expression.target], (expression, boxes)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_every_expression_fits_exactly_its_target_by_a_second_reading(seed: int) -> None:
    check_by_second_reading(seed)


@pytest.mark.slow
def test_so_it_does_in_many_scenes() -> None:
    for seed in range(500):
        check_by_second_reading(seed)


READABLE = "kinds: bottle car cat couch dining table dog horse person umbrella"


def check_groups_by_second_reading(seed: int) -> list[GroundedExpression]:
    boxes = random_boxes(Random(seed))
    reader, made = PlainReader(drawn(boxes), HEIGHT, WIDTH), scene(boxes, READABLE)
    several = describe_several(made, Random(seed), wanted=6)
    for expression in several:
        assert len(expression.targets) > 1
        assert reader.answers_of_several(expression.text) == list(expression.targets), (expression, boxes)
    absent = describe_absent(made, Random(seed), wanted=6)
    for expression in absent:
        assert expression.targets == ()
        assert reader.answers(expression.text) == [], (expression, boxes)
    return several + absent


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_groups_and_what_is_absent_are_so_by_a_second_reading(seed: int) -> None:
    check_groups_by_second_reading(seed)


@pytest.mark.slow
def test_so_they_are_in_many_scenes() -> None:
    for seed in range(500):
        check_groups_by_second_reading(seed)


def test_groups_are_told_by_number_place_and_relation_and_absence_by_kind_and_look() -> None:
    said = [one for seed in range(60) for one in check_groups_by_second_reading(seed)]
    texts = {family: [one.text for one in said if one.family == family] for family in ("several", "absent")}
    for family, parts in {
        "several": ("both ", "the two ", "all the ", " left of ", "in the "),
        "absent": ("white ", " left of ", "in the ", "umbrella", "dog"),
    }.items():
        for part in parts:
            assert any(part in text for text in texts[family]), (family, part)
    with pytest.raises(ValueError, match="unpack"):
        _ = said[0].target


def test_nothing_is_called_absent_where_not_all_is_annotated() -> None:
    boxes = [Box("dog", 20, 80, 60, 60, "white")]
    assert describe_absent(scene(boxes, "one object"), Random(0), wanted=20) == []
    of_dogs = describe_absent(scene(boxes, "kinds: dog"), Random(0), wanted=20)
    assert of_dogs
    assert all("dog" in one.words for one in of_dogs)


def test_only_a_lone_thing_has_loose_names() -> None:
    alone = [Box("person", 20, 60, 50, 100), Box("dog", 200, 90, 70, 80)]
    people = {"man", "woman", "guy", "lady", "boy", "girl", "kid"}

    def words(boxes: list[Box], loose_names: bool, annotated: str = "coco80") -> set[str]:
        made = scene(boxes, annotated)
        said = [describe(made, Random(seed), wanted=8, loose_names=loose_names) for seed in range(20)]
        return {word for found in said for one in found for word in one.words} & (people | {"person", "dog", "puppy"})

    assert words(alone, True) == people | {"person", "dog", "puppy"}
    assert words([*alone, Box("person", 110, 60, 50, 100)], True) == {"person", "dog", "puppy"}
    assert words([*alone, Box("dog", 110, 90, 70, 80)], True) == people | {"person", "dog"}
    assert words(alone, False) == {"person", "dog"}
    assert not words(alone, True, "one object") & (people | {"puppy"})


@pytest.fixture(scope="module")
def many() -> list[tuple[PhotoScene, GroundedExpression]]:
    found = []
    for seed in range(60):
        made = scene(random_boxes(Random(seed)))
        found += [(made, one) for one in describe(made, Random(seed), wanted=5)]
    return found


def test_all_families_are_said_and_none_is_most_of_all(many: list[tuple[PhotoScene, GroundedExpression]]) -> None:
    counts = Counter(expression.family for _, expression in many)
    assert set(counts) == set(OF_ONE)
    assert max(counts.values()) < 0.45 * len(many), counts


def test_every_token_has_a_type_and_things(many: list[tuple[PhotoScene, GroundedExpression]]) -> None:
    for made, expression in many:
        tokens = tokenize(expression.text)
        assert list(expression.words) == tokens
        assert len(expression.word_types) == len(expression.grounding) == len(tokens)
        assert set(expression.word_types) <= set(WORD_TYPES)
        for kind, things in zip(expression.word_types, expression.grounding, strict=True):
            assert kind != "unnecessary" or not things, expression
            assert all(0 <= thing < len(made.things) for thing in things)
        assert any(expression.target in things for things in expression.grounding), expression


def test_same_seed_says_the_same_and_another_does_not() -> None:
    made = scene(random_boxes(Random(5)))
    first, again, other = (describe(made, Random(seed), wanted=5) for seed in (1, 1, 2))
    assert first == again
    assert [one.text for one in first] != [one.text for one in other]


def test_as_many_wordings_as_asked_for_none_twice_and_only_of_targets() -> None:
    boxes = [
        Box("dog", 20, 60, 60, 60, "white"),
        Box("dog", 200, 90, 70, 80, "black"),
        Box("car", 110, 20, 70, 40, "red"),
    ]
    for wanted in (1, 5, 9):
        said = describe(scene(boxes), Random(0), wanted=wanted, targets=[1])
        assert [one.target for one in said] == [1] * wanted
        assert len({one.text for one in said}) == wanted
        assert sum(one.family == "entity" for one in said) <= max(wanted // 2, 2)


def test_a_mirrored_scene_exchanges_left_and_right() -> None:
    boxes = [Box("dog", 20, 60, 60, 60), Box("dog", 220, 60, 60, 60), Box("cat", 130, 90, 40, 40)]
    made = scene(boxes)
    flipped = scene([Box(one.kind, WIDTH - one.x - one.width, one.y, one.width, one.height) for one in boxes])
    for one, other in zip(made.mirrored().things, flipped.things, strict=True):
        assert one.box == other.box
    said = describe(made.mirrored(), Random(0), wanted=30, targets=[0])
    assert any("on the right" in one.text for one in said)
    assert not any(re.search("dog on the (far )?left", one.text) for one in said)


# One scene for each family, and the margin that silences it.

DOGS = [Box("dog", 20, 80, 60, 60), Box("dog", 200, 80, 60, 60)]


def test_names_need_a_kind_of_which_there_is_one() -> None:
    said = texts_of([*DOGS, Box("cat", 120, 150, 50, 50)], 2, family="entity")
    assert {"the cat", "cat", "the kitty"} <= said
    assert not any("animal" in text for text in said)
    assert not texts_of([*DOGS, Box("cat", 120, 150, 50, 50)], 0, family="entity")
    assert any("animal" in text for text in texts_of([DOGS[0], Box("car", 200, 80, 60, 60)], 0, family="entity"))


def test_colours_are_said_where_they_are_clear_and_the_others_clearly_have_another() -> None:
    white, black = Box("dog", 20, 80, 60, 60, "white"), Box("dog", 200, 80, 60, 60, "black")
    assert "the white dog" in texts_of([white, black], 0, family="attribute")
    assert not texts_of([white, Box("dog", 200, 80, 60, 60, "white")], 0, family="attribute")
    assert not texts_of([Box("dog", 20, 80, 60, 60, "green")], 0, family="attribute")  # dogs are not green


@pytest.mark.parametrize(("gap", "clear"), [(60, True), (12, False)])
def test_left_and_right_need_a_gap(gap: int, clear: bool) -> None:
    said = texts_of([Box("dog", 100, 40, 60, 50), Box("dog", 100 + gap, 150, 60, 50)], 0, family="location")
    assert any(re.search("left", text) for text in said) == clear


def test_ordinals_and_the_middle_count_from_the_side() -> None:
    row = [Box("dog", 10 + 62 * number, 90, 40, 40) for number in range(5)]
    assert "the second dog from the left" in texts_of(row, 1)
    assert "the fourth dog from the right" in texts_of(row, 1)
    assert {"the middle dog", "the third dog from the left"} <= texts_of(row, 2)
    assert not any("middle" in text for text in texts_of(row[:4], 1))


def test_lower_and_taller_is_in_front() -> None:
    near, far = Box("dog", 180, 90, 90, 120), Box("dog", 40, 60, 50, 50)
    assert any(re.search("front|camera|foreground|nearest", text) for text in texts_of([near, far], 0))
    assert any(re.search("back|farthest", text) for text in texts_of([near, far], 1))
    level = [near, Box("dog", 40, 160, 40, 46)]
    assert not any(re.search("front|camera|back", text) for text in texts_of(level, 0))


@pytest.mark.parametrize(
    ("boxes", "target", "expected"),
    [
        (
            [Box("dog", 40, 100, 50, 50), Box("dog", 200, 100, 50, 50), Box("car", 260, 100, 55, 50)],
            1,
            "next to the car",
        ),
        ([Box("horse", 60, 110, 90, 90), Box("person", 94, 60, 22, 105)], 1, "riding the horse"),
        ([Box("horse", 60, 110, 90, 90), Box("person", 94, 60, 22, 105)], 0, "ridden by the person"),
        ([Box("couch", 60, 110, 120, 70), Box("cat", 90, 80, 40, 55, "black")], 1, "on the couch"),
        ([Box("person", 75, 70, 30, 110), Box("umbrella", 60, 45, 60, 30)], 0, "holding an umbrella"),
        ([Box("person", 75, 70, 30, 110), Box("umbrella", 60, 45, 60, 30)], 1, "of the person"),
        ([Box("dog", 120, 110, 60, 70), Box("person", 130, 40, 40, 120)], 1, "behind the dog"),
        ([Box("person", 130, 40, 40, 120), Box("dog", 140, 110, 60, 70)], 1, "in front of the person"),
        (
            [Box("car", 20, 90, 70, 50), Box("dog", 140, 95, 40, 45), Box("car", 230, 90, 70, 50)],
            1,
            "between the two cars",
        ),
        ([Box("dining table", 60, 110, 120, 70), Box("bottle", 100, 80, 14, 50)], 1, "on the table"),
    ],
)
def test_relations_to_other_things(boxes: list[Box], target: int, expected: str) -> None:
    assert any(expected in text for text in texts_of(boxes, target, family="relation"))


def test_who_stands_beside_a_horse_does_not_ride_it() -> None:
    said = wordings([Box("horse", 60, 90, 90, 90), Box("person", 94, 80, 22, 110)])
    assert not any("riding" in one.text or "ridden" in one.text for one in said)


def test_sizes_need_a_clear_ratio_and_the_smaller_one_whole() -> None:
    big, small = Box("dog", 20, 60, 100, 100), Box("dog", 200, 100, 60, 60)
    assert {"the biggest dog", "the bigger of the two dogs"} <= texts_of([big, small], 0, family="comparison")
    assert not texts_of([big, Box("dog", 200, 70, 90, 90)], 0, family="comparison")
    assert not any(re.search("small", text) for text in texts_of([big, Box("dog", 260, 100, 60, 60)], 1))


def test_comparisons_with_another_thing() -> None:
    dogs = [
        Box("dog", 10, 70, 50, 50, "white"),
        Box("dog", 110, 70, 50, 50, "black"),
        Box("car", 250, 70, 60, 50, "black"),
    ]
    said = texts_of(dogs, 1, family="comparison")
    assert any("of the same colour as the car" in text for text in said)
    assert any(re.search("(nearest|closest) to the car", text) for text in said)
    sizes = [Box("dog", 10, 40, 100, 100, "white"), Box("dog", 200, 90, 50, 50, "black")]
    assert any("larger than the black dog" in text for text in texts_of(sizes, 0, family="comparison"))


def test_clothes_are_those_inside_the_person() -> None:
    two = [
        Box("person", 40, 60, 40, 120, "grey"), Box("person", 200, 60, 40, 120, "grey"),
        Box("coat", 46, 90, 28, 45, "red", wearer=0), Box("coat", 206, 90, 28, 45, "blue", wearer=1),
    ]  # fmt: skip
    said = texts_of(two, 0, family="clothing")
    assert any(re.search("person (in|wearing|dressed in|who is wearing) (a|the) red coat", text) for text in said)
    assert all("red" in text for text in said)
    dressed = [Box("person", 40, 60, 40, 120, "grey"), Box("dress", 46, 90, 28, 70, "red", wearer=0)]
    assert any("woman" in text for text in texts_of(dressed, 0))
    assert any("of the woman" in text for text in texts_of(dressed, 1))
    assert not any("woman" in text for text in texts_of(two, 0))


def test_negations() -> None:
    three = [
        Box("dog", 10, 80, 50, 50, "white"),
        Box("dog", 130, 80, 50, 50, "black"),
        Box("dog", 250, 80, 50, 50, "white"),
    ]
    assert any(re.search("not white", text) for text in texts_of(three, 1, family="negation"))
    assert any(re.search("not on the left", text) for text in texts_of(DOGS, 1, family="negation"))
    assert not any(re.search("not on the left", text) for text in texts_of(three, 1))
    zoo = [*DOGS, Box("cat", 130, 150, 40, 40)]
    assert any("animal that is not a dog" in text for text in texts_of(zoo, 2, family="negation"))
    riders = [Box("horse", 20, 110, 90, 90), Box("person", 54, 60, 22, 105), Box("person", 220, 60, 30, 110)]
    assert any(re.search("not riding (a|the) horse", text) for text in texts_of(riders, 2, family="negation"))


# What is not annotated is not there to be counted.

TELLING = re.compile(
    r"\b(left|right|top|bottom|upper|lower|middle|cent(er|re)|front|back|biggest|largest|smallest|larger|smaller|next|"
    r"near|by|nearest|closest|farthest|second|third|one|not|camera|beside|between|behind)\b"
)


def test_one_object_allows_names_colours_and_clothes_only() -> None:
    alone = [Box("dog", 20, 80, 60, 60, "white"), Box("cat", 200, 80, 60, 60, "black")]
    said = wordings(alone, "one object")
    assert {one.family for one in said} == {"entity", "attribute"}
    assert not any(TELLING.search(one.text.replace("find", "")) for one in said)
    person = [Box("person", 40, 60, 40, 120, "grey"), Box("coat", 46, 90, 28, 45, "red", wearer=0)]
    assert {one.family for one in wordings(person, "one object")} == {"entity", "attribute", "relation", "clothing"}


def test_kinds_that_are_not_annotated_are_neither_ranked_nor_pointed_at() -> None:
    boxes = [*DOGS, Box("cat", 110, 150, 50, 50), Box("cat", 250, 150, 50, 50)]
    said = wordings(boxes, "kinds: dog")
    assert any("left" in one.text for one in said if one.target < 2)
    assert not any("cat" in one.text or "kitty" in one.text for one in said)
    assert not any("animal" in one.text for one in said)
    assert not any(re.search(r"\bone (?!of the two dogs)", one.text) for one in said)


def test_a_kind_of_two_words_is_read() -> None:
    tables = [Box("dining table", 20, 80, 80, 60), Box("dining table", 200, 80, 80, 60)]
    assert any("left" in text for text in texts_of(tables, 0, "kinds: person dining table"))
    assert not texts_of(tables, 0, "kinds: person table")


def test_voc_counts_its_own_kinds_only() -> None:
    umbrellas = [Box("umbrella", 20, 80, 60, 60, "red"), Box("umbrella", 200, 80, 60, 60, "blue")]
    assert not any(TELLING.search(text) for text in texts_of(umbrellas, 0, "voc20"))
    assert any(TELLING.search(text) for text in texts_of(umbrellas, 0, "coco80"))
    assert any(TELLING.search(text) for text in texts_of(DOGS, 0, "voc20"))


def test_a_crowd_silences_its_kind() -> None:
    crowd = Box("dog", 120, 160, 80, 60, is_crowd=True)
    said = wordings([DOGS[0], crowd, Box("cat", 220, 60, 50, 50)])
    assert {one.target for one in said} == {2}
    assert not any(re.search("dog|animal", re.sub("animal (that|which) is not a dog", "", one.text)) for one in said)


def test_rough_things_are_spoken_of_but_do_not_touch() -> None:
    rough = [Box("horse", 60, 110, 90, 90, quality="rough"), Box("person", 94, 60, 22, 105)]
    assert not any("riding" in text for text in texts_of(rough, 1))
    beside = [Box("dog", 30, 100, 60, 60, quality="split"), Box("dog", 200, 100, 60, 60)]
    assert any("right" in text for text in texts_of(beside, 1))
