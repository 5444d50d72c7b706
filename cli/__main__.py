"""`python -m alexnet_parity.cli`: the command, where its script is not on the path."""

from .main import entry

entry()
