"""Every format converted into every other, and all bits compared.

Weights of awkward bits are written in each format. Each file is read into the shared layout, written in each format, and that is
read again. What a cell says is about this whole way. Its two ends could err alike only in what the framework's own run of
the file would show; the check `saved-formats` looks at that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...impls.foreign.graph import Refused
from ...impls.formats import table
from ...impls.formats.codec import Params
from ...impls.interface import Unsupported
from ...reference.spec import Network, perhaps
from .. import compare
from ..finding import Finding, Status
from . import awkward, causes
from .partner import Scribes
from .scribe import Broken, Scribe, able

CHECK = "convert-matrix"
TO = " ~ "  # between the two formats in a finding's `impl`: from, to


@dataclass
class Matrix:
    """scribes: who writes and reads a format, or why nobody does; those that are there, but for tests."""

    network: Network
    scribes: Mapping[str, Scribe | str]
    folder: Path
    seed: int = 0

    def findings(self) -> Iterator[Finding]:
        """A finding for each pair, row by row."""
        given = awkward.weights(self.network, self.seed)
        for source in self.scribes:
            start = self.there_and_back(source, given, given, f"{source}-first")
            for target in self.scribes:
                yield self.pair(source, target, start, given).filled(
                    check=CHECK,
                    impl=f"{source}{TO}{target}",
                    variant=self.network.name,
                    stimulus="awkward bits",
                    seed=self.seed,
                    expected="every bit as given",
                    replay=f"alexnet-parity convert --matrix --variant {self.network.name} --seed {self.seed}",
                )

    def pair(self, source: str, target: str, start: Params | Finding, given: Params) -> Finding:
        """`start`: what the source's own file was read as, or what is wrong with it."""
        there = self.scribes[target]
        if isinstance(there, str):
            return Finding(Status.UNSUPPORTED, got=f"{target} {there}")
        if isinstance(start, Finding):
            return start
        done = self.there_and_back(target, start, given, f"{source}-{target}")
        return done if isinstance(done, Finding) else same(given)

    def there_and_back(self, name: str, params: Params, given: Params, file: str) -> Params | Finding:
        """Parameters written in a format and read again; what is wrong with them, if anything."""
        scribe = self.scribes[name]
        if isinstance(scribe, str):
            return Finding(Status.UNSUPPORTED, got=f"{name} {scribe}")
        path = self.folder / f"{file}{table.called(name).ending}"
        try:
            scribe.write(name, self.network, params, path)
            found = scribe.read(name, self.network, path)
        except Unsupported as error:
            return Finding(Status.UNSUPPORTED, got=f"{name}: {error}")
        except (Refused, Broken) as error:
            return Finding(Status.ERROR, got=f"{name}: {error}")
        return differing(self.network, found, given, name) or found


def same(given: Params) -> Finding:
    count = sum(value.size for value in given.values())
    return Finding(Status.PASS, got=f"every bit of {len(given)} parameters, {count:,} numbers", error_over_bound=0.0)


def differing(network: Network, found: Params, given: Params, name: str) -> Finding | None:
    """The first parameter that is not the same bits, with the change that explains it; None if all are."""
    for key in found:
        if key not in given:
            return Finding(Status.FAIL, key.rpartition(".")[0], got=f"{name}: {key!r}, which the network has not")
    places = causes.places(network)
    for key, want in given.items():
        layer = key.rpartition(".")[0]
        if key not in found:
            return Finding(Status.FAIL, layer, got=f"{name}: no {key}{perhaps(key, list(found))}")
        outcome = compare.patterns(np.asarray(found[key]), want)
        if not outcome.ok:
            hint = causes.cause(places[layer], found[key], want)
            return Finding(Status.FAIL, layer, got=f"{name}: {key}: {outcome.got}", hint=hint)
    return None


def here(scribes: Scribes, formats: Sequence[table.Format] = table.FORMATS) -> dict[str, Scribe | str]:
    """Who can write and read each format on this machine, or why nobody can."""
    found: dict[str, Scribe | str] = {}
    for format in formats:
        impl, reason = able(format)
        found[format.name] = reason or scribes.of(format, impl)
    return found
