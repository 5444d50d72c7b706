"""Is what is over a bound end to end explained by an LRN that carries its sum of squares along from map to map?

One layer alone is explained by the table of mistakes, the same entry of it included (`checks/traps/`).
"""

from __future__ import annotations

import numpy as np

from . import compare, traps

Array = np.ndarray
TRAP = traps.BY_ID["lrn-running-sum"]


def hint(got: Array, want: Array, tolerance: Array) -> str:
    """What to say of an output that is within `tolerance`, that of networks with such an LRN; "" for any other."""
    return f"agrees if {TRAP.says} [{TRAP.id}]" if compare.within(got, want, tolerance).ok else ""
