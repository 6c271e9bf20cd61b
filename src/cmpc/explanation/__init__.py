"""How a model came to its answer: the stages of the paper's first figure, as numbers and as pictures."""

from cmpc.explanation.compute import explain
from cmpc.explanation.contact_sheet import contact_sheet
from cmpc.explanation.explanation import Arrow, Explanation, Graph, Stages, Typing, WordKind
from cmpc.explanation.files import save, save_contact_sheet
from cmpc.explanation.numbers import to_dict
from cmpc.explanation.picture import paint
from cmpc.explanation.staged_picture import staged_picture
from cmpc.explanation.vector import to_svg

__all__ = [
    "Arrow",
    "Explanation",
    "Graph",
    "Stages",
    "Typing",
    "WordKind",
    "contact_sheet",
    "explain",
    "paint",
    "save",
    "save_contact_sheet",
    "staged_picture",
    "to_dict",
    "to_svg",
]
