"""A pytest plugin: `pytest --alexnet-parity=my.module` gives every check of an AlexNet as a test.

pytest loads this file in every run of every project beside which alexnet-parity is installed: nothing is imported here, and
nothing is done without the option.
"""

from __future__ import annotations

import pytest

OPTION = "--alexnet-parity"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alexnet-parity", "does an AlexNet compute what the 2012 paper says?")
    group.addoption(
        OPTION,
        action="append",
        default=[],
        metavar="TARGET",
        help="judge this implementation (my.module, path/to/mine.py, torch: whatever verify --impl takes), a test for each "
        "check; or audit this model (my.module:factory, net.onnx); may be repeated",
    )
    group.addoption(
        f"{OPTION}-variant",
        action="append",
        default=[],
        metavar="V",
        help="the network that is meant, may be repeated; default: paper, for audits the nearest",
    )
    group.addoption(
        f"{OPTION}-check", action="append", default=[], metavar="C", help="a check or a family; default: all"
    )
    group.addoption(
        f"{OPTION}-device", default="cpu", choices=("cpu", "cuda", "auto"), help="where it runs; default: cpu"
    )
    group.addoption(
        f"{OPTION}-timeout",
        type=float,
        default=600.0,
        metavar="S",
        help="end an implementation silent for so many seconds; default: 600",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hand over to pytest_gate.py, where something is to be judged; pytest.UsageError for an unknown name."""
    if config.getoption("alexnet_parity"):
        from . import pytest_gate

        config.pluginmanager.register(pytest_gate.Gate(config), "alexnet_parity_gate")
