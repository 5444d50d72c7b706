"""What a trace can be recorded of, by name: for the command's `--help` too, which loads no more than it says."""

from __future__ import annotations

PASSES = (
    "exact",
    "large",
    "photograph",
    "probe",
    "special",
)  # stimuli: those called so, and those whose names go on behind a dot
