"""Named mistakes: one table, two uses. Each poses as an implementation and must be caught; and when a real layer disagrees,
the one mistake that explains what it gave becomes the finding's hint, or an audit's cause.
"""

from .catalogue import BY_ID, TRAPS, half, mantissa
from .explain import explain, explains
from .trap import Initial, Site, Trap, nothing, sites

__all__ = ["BY_ID", "TRAPS", "Initial", "Site", "Trap", "explain", "explains", "half", "mantissa", "nothing", "sites"]
