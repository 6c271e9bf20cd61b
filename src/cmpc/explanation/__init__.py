"""How a model came to its answer: the stages of the paper's first figure, as numbers and as pictures."""

from cmpc.explanation.compute import explain
from cmpc.explanation.explanation import Explanation, Stages, Typing, WordKind
from cmpc.explanation.files import save, save_sheet
from cmpc.explanation.graph import Attention, Graph, Message
from cmpc.explanation.numbers import to_dict
from cmpc.explanation.picture import paint
from cmpc.explanation.staged_picture import staged_picture
from cmpc.explanation.staged_sheet import staged_sheet
from cmpc.explanation.vector import to_svg

__all__ = [
    "Attention",
    "Explanation",
    "Graph",
    "Message",
    "Stages",
    "Typing",
    "WordKind",
    "explain",
    "paint",
    "save",
    "save_sheet",
    "staged_picture",
    "staged_sheet",
    "to_dict",
    "to_svg",
]
