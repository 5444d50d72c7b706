"""What can go wrong for the person who evaluates; each message is one line."""

from __future__ import annotations


class Unusable(Exception):
    """Data, weights, a mean, a state file or a set-up that cannot be used: found, expected, what to do."""


class Failed(Exception):
    """An implementation that crashed, or whose output is none."""


class Unreadable(Exception):
    """One image that cannot be decoded; the rest of the data set can."""


def reason(error: BaseException) -> str:
    """An exception of a library or of the system in a few words."""
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    return text[:200]
