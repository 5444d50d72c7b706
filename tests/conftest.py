"""`--impl NAME` (may be repeated) says which of our implementations tests/impls verifies; by default all that can run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: workers side by side, no spinning threads
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

from alexnet_parity.impls import find


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--impl", action="append", default=[], choices=list(find.own()), help="verify this implementation")
    parser.addoption(
        "--fuzz-examples", type=int, default=2000, metavar="N", help="damaged files for each reader; default 2000"
    )


SAME_FRAMEWORK = {"keras_ops": "keras"}  # but for its LRN
BACKENDS = {"keras": "tensorflow", "keras_ops": "tensorflow", "keras_torch": "torch", "keras_jax": "jax"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Marked `once`: what two implementations in one framework share is tested in the first of them.

    On another backend than TensorFlow, Keras has neither these tests nor those marked `thorough`: `verify` runs its checks.
    """
    if "impl" in metafunc.fixturenames:
        names = metafunc.config.getoption("impl") or one_backend(find.runnable())
        if metafunc.definition.get_closest_marker("once"):
            names = [name for name in names if SAME_FRAMEWORK.get(name) not in names]
        if any(metafunc.definition.get_closest_marker(marker) for marker in ("once", "thorough")):
            names = [name for name in names if BACKENDS.get(name) in (None, "tensorflow")]
        metafunc.parametrize("impl", names, scope="session")


def one_backend(names: list[str]) -> list[str]:
    """Keras takes one backend in a process: of those on others than the first, none."""
    first = next((BACKENDS[name] for name in names if name in BACKENDS), "")
    return [name for name in names if BACKENDS.get(name, first) == first]


def pytest_configure(config: pytest.Config) -> None:
    asked = [name for name in config.getoption("impl") if name in BACKENDS]
    if one_backend(asked) != asked:
        raise pytest.UsageError(f"Keras takes one backend in a process: run {' and '.join(asked)} one after the other")
    if {"keras_torch", "keras_jax"} & set(asked):  # Keras' own np.array(variable), in convert_to_numpy and saving
        known = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
        config.addinivalue_line("filterwarnings", known)
    config.addinivalue_line("markers", "thorough: not repeated for Keras on another backend than TensorFlow")
    config.addinivalue_line("markers", "once: not repeated for another implementation in the same framework")
    config.addinivalue_line(
        "markers", "offers(what, ...): skipped for an implementation or a model that has not got it"
    )


@pytest.fixture(scope="session")
def module(impl: str):
    return find.load(find.find(impl))


@pytest.fixture(autouse=True)
def own_path() -> Iterator[None]:
    """Folders that a test has the command look for modules in are gone after it: the next test's `mine` is its own."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def offered(request: pytest.FixtureRequest) -> None:
    """Marked `offers`: engines that only infer have no way back, no losses, no optimisers."""
    if "impl" in request.fixturenames:
        asked = [what for marker in request.node.iter_markers("offers") for what in marker.args]
        module = request.getfixturevalue("module") if asked else None
        for what in asked:
            if not hasattr(module, what) and not hasattr(getattr(module, "Model", None), what):
                pytest.skip(f"it has no {what}")
