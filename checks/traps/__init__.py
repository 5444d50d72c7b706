"""Named mistakes: one table, two uses. Each poses as an implementation and must be caught; and when a real layer disagrees,
the one mistake that explains what it gave becomes the finding's hint, or an audit's cause.
"""

from .arithmetic import half, mantissa
from .catalogue import ALIKE, BY_ID, FAMILIES, TRAPS, Row, distinct, grounds, places, roomy, rows
from .explain import Expectation, expectations, explain, explains, hint
from .signature import layer_signature, signature
from .trap import Initial, Site, Trap, nothing, sites

__all__ = [
    "ALIKE",
    "BY_ID",
    "FAMILIES",
    "TRAPS",
    "Expectation",
    "Initial",
    "Row",
    "Site",
    "Trap",
    "distinct",
    "expectations",
    "explain",
    "explains",
    "grounds",
    "half",
    "hint",
    "layer_signature",
    "mantissa",
    "nothing",
    "places",
    "roomy",
    "rows",
    "signature",
    "sites",
]
