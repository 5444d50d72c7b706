"""`--impl NAME` (may be repeated) says which of our implementations tests/impls verifies; by default all that can run."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: workers side by side, no spinning threads
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

from alexnet_parity.impls import find


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--impl", action="append", default=[], choices=list(find.own()), help="verify this implementation")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "impl" in metafunc.fixturenames:
        metafunc.parametrize("impl", metafunc.config.getoption("impl") or find.runnable(), scope="session")


@pytest.fixture(scope="session")
def module(impl: str):
    return find.load(find.find(impl))
