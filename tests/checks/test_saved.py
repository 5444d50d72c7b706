"""Saving, loading and converting without any framework: awkward bits, causes by hand, planted faults, the matrix, the chapter."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import numpy_alexnet
import pytest
from format_faults import FAULTS, NETWORK, judged, with_fault
from harness import bad, verified

from alexnet_parity.checks import compare
from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.saved import awkward, causes, matrix, partner, saved
from alexnet_parity.checks.saved.scribe import Broken, Here
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats import shared, table
from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.reference import variants
from alexnet_parity.reports import formats as chapter

MODULE = SimpleNamespace(build=numpy_alexnet.build, formats=shared)
THIN = variants.variant("paper-thin")


def floats(*bits: int) -> np.ndarray:
    return np.array(bits, np.uint32).view(np.float32)


# Bits -----------------------------------------------------------------------------------------------------------------


def test_patterns_compares_bits_whatever_they_mean():
    nan, other = floats(0x7FC00001), floats(0x7FC00002)
    assert compare.patterns(nan, nan.copy()).ok
    assert not compare.patterns(nan, other).ok
    assert not compare.patterns(floats(0x80000000), floats(0)).ok
    assert not compare.patterns(floats(0x7F800001), floats(0x7FC00001)).ok
    said = compare.patterns(floats(0, 0x3F800001, 3), floats(0, 0x3F800000, 2)).got
    assert said == "2 of 3 differ, first at [1]: 0x3f800001 (1.0000001) for 0x3f800000 (1.0)"
    assert "float64" in compare.patterns(nan.astype(np.float64), nan).got
    assert "shape (1,), expected (2,)" in compare.patterns(nan, floats(1, 2)).got


def test_awkward_weights_have_every_pattern_and_differ_everywhere():
    for name in ("paper-thin", "cifar-11pct-thin"):
        network = variants.variant(name)
        found = awkward.weights(network, 0)
        assert {key: value.shape for key, value in found.items()} == network.param_shapes()
        bits = np.concatenate([value.reshape(-1).view(np.uint32) for value in found.values()])
        assert set(awkward.PATTERNS) <= set(bits)
        for value in found.values():
            if value.size > 100:
                assert set(awkward.PATTERNS) <= set(value.reshape(-1).view(np.uint32))
                assert np.isnan(value).any()
    assert set(awkward.weights(THIN, 1)) == set(awkward.weights(THIN, 0))
    assert not compare.patterns(awkward.weights(THIN, 1)["fc8.bias"], awkward.weights(THIN, 0)["fc8.bias"]).ok


# Causes ---------------------------------------------------------------------------------------------------------------


def test_causes_by_hand():
    places = causes.places(THIN)
    fc6, conv2 = places["fc6"], places["conv2"]
    assert fc6.maps == (12, 2, 3)
    units = np.arange(72, dtype=np.float32).reshape(1, 72)
    turned = causes.row_column_channel(fc6, units)
    assert list(turned[0, :13]) == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60, 66, 1]  # channel by channel of one pixel
    assert np.array_equal(causes.channel_row_column(fc6, turned), units)
    maps = np.arange(20, dtype=np.float32)
    assert list(causes.groups_swapped(conv2, maps)[:3]) == [10, 11, 12]
    assert list(causes.in_bfloat16(conv2, floats(0x3F808000, 0x3F818000, 0x3F808001)).view(np.uint32)) == [
        *(0x3F800000, 0x3F820000, 0x3F810000)
    ]
    assert list(causes.nans_quiet(conv2, floats(0x7F800001, 0x7F800000)).view(np.uint32)) == [0x7FC00001, 0x7F800000]
    assert causes.cause(conv2, np.zeros(3, np.float32), maps) == ""
    assert causes.cause(conv2, maps[::-1].copy(), maps) == ""
    assert causes.cause(conv2, np.full_like(maps, 77), maps) == "agrees if nothing was loaded"


def test_places_know_the_maps_only_behind_a_flattening():
    places = causes.places(variants.variant("paper-thin"))
    assert [name for name, place in places.items() if place.maps] == ["fc6"]


# The check ------------------------------------------------------------------------------------------------------------


def test_numpys_own_formats_pass():
    findings = verified(MODULE, "paper-thin", ("saved",))
    assert not bad(findings), [finding.line() for finding in bad(findings)]
    assert {finding.expected.partition(":")[0] for finding in findings} == {"npz", "safetensors"}
    assert len([finding for finding in findings if finding.layer == "fc6"]) == 2


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught_and_located(name):
    fault = FAULTS[name]
    findings = judged(with_fault(MODULE, "npz", fault))
    wrong = bad(findings)
    assert {finding.layer for finding in wrong if "outputs as" not in finding.expected} >= {
        fault.parameter.rpartition(".")[0]
    }
    first = next(finding for finding in wrong if finding.layer == fault.parameter.rpartition(".")[0])
    assert fault.parameter in first.got
    assert "as the loaded model holds it" in first.got
    assert fault.hint in first.hint
    assert bool(fault.hint) == bool(first.hint)


def test_nothing_is_bad_without_a_fault():
    assert not bad(judged(MODULE))


def test_a_file_that_reads_otherwise_than_it_loads_is_seen():
    codec = shared.FORMATS["npz"]

    def read(path, network):
        found = codec.read(path, network)
        return {**found, "fc7.weight": found["fc7.weight"].T.copy()}

    wrong = bad(judged(SimpleNamespace(build=MODULE.build, formats=planted(replace(codec, read=read)))))
    assert [finding.layer for finding in wrong] == ["fc7"]
    assert "fc7.weight as read from the file" in wrong[0].got


def planted(codec) -> SimpleNamespace:
    return SimpleNamespace(FORMATS={"npz": codec})


def test_a_program_that_computes_otherwise_is_seen_by_its_outputs():
    codec = shared.FORMATS["npz"]

    class Off(numpy_alexnet.Model):
        def activations(self, x):
            return {
                name: y * np.float32(1 + 2.0**-20) if name == "norm2" else y
                for name, y in super().activations(x).items()
            }

    formats = planted(replace(codec, load=lambda module, network, path: Off(network, codec.read(path, network))))
    wrong = bad(judged(SimpleNamespace(build=MODULE.build, formats=formats)))
    assert [finding.layer for finding in wrong] == ["norm2"]
    assert "output as before" in wrong[0].expected


def test_missing_and_strange_parameters_are_named():
    codec = shared.FORMATS["npz"]

    def read(path, network):
        found = codec.read(path, network)
        found["fc66.weight"] = found.pop("fc6.weight")
        return found

    wrong = bad(judged(SimpleNamespace(build=MODULE.build, formats=planted(replace(codec, read=read)))))
    assert [finding.status for finding in wrong] == [Status.ERROR, Status.ERROR]
    assert "no fc6.weight as read from the file; did you mean 'fc66.weight'?" in wrong[0].got
    assert wrong[1].got == "'fc66.weight'"


def test_one_format_that_fails_does_not_hide_the_others():
    def refuses(model, network, path):
        raise Unsupported("conv1: too large")

    def needs(model, network, path):
        import no_such_package  # noqa: F401

    def breaks(model, network, path):
        raise ValueError("broken")

    codec = shared.FORMATS["npz"]
    formats = {name: replace(codec, save=save) for name, save in (("a", refuses), ("b", needs), ("c", breaks))}
    findings = judged(SimpleNamespace(build=MODULE.build, formats=SimpleNamespace(FORMATS={**formats, "npz": codec})))
    told = {finding.expected.partition(":")[0]: finding for finding in reversed(findings)}
    assert (told["a"].status, told["a"].got) == (Status.UNSUPPORTED, "a: conv1: too large")
    assert (told["b"].status, told["b"].got) == (Status.UNSUPPORTED, "b: needs no_such_package, not installed here")
    assert told["c"].status is Status.ERROR
    assert "ValueError: broken" in told["c"].got
    assert told["npz"].status is Status.PASS


def test_an_implementation_without_formats_is_unsupported():
    (finding,) = verified(numpy_alexnet, "paper-thin", ("saved",))
    assert finding.status is Status.UNSUPPORTED
    assert "no formats" in finding.got


# The matrix -----------------------------------------------------------------------------------------------------------


def scribes(**more) -> dict:
    return {"npz": Here("", "shared"), "safetensors": Here("", "shared"), **more}


def test_the_matrix_of_numpys_formats(tmp_path):
    found = list(matrix.Matrix(THIN, scribes(torch="needs torch, not installed here"), tmp_path).findings())
    assert len(found) == 9
    status = {finding.impl: finding.status for finding in found}
    assert [status[f"{a} ~ {b}"] for a in ("npz", "safetensors") for b in ("npz", "safetensors")] == [Status.PASS] * 4
    assert sum(s is Status.UNSUPPORTED for s in status.values()) == 5
    assert {finding.variant for finding in found} == {"paper-thin"}
    text = "\n".join(chapter.chapter(found))
    assert "**4 of 4** pairs give the same bits; 5 could not be tried" in text
    assert "Not tried: torch needs torch, not installed here." in text


class Careless(Here):
    """Writes what a fault leaves of the parameters."""

    def write(self, format, network, params, path):
        super().write(format, network, FAULTS["fc7-transposed"].applied(network, dict(params)), path)


class Crashing(Here):
    def read(self, format, network, path):
        raise Broken("torch: its process was ended by SIGSEGV")


def test_the_matrix_names_the_parameter_and_the_cause(tmp_path):
    found = list(matrix.Matrix(NETWORK, scribes(safetensors=Careless("", "shared")), tmp_path).findings())
    status = {finding.impl: finding for finding in found}
    wrong = status["npz ~ safetensors"]
    assert status["npz ~ npz"].status is Status.PASS
    assert (wrong.status, wrong.layer, wrong.hint) == (Status.FAIL, "fc7", "agrees if the matrix is transposed")
    assert "safetensors: fc7.weight" in wrong.got
    assert status["safetensors ~ npz"].status is Status.FAIL
    text = "\n".join(chapter.chapter(found))
    assert "**1 of 4** pairs" in text
    assert "agrees if the matrix is transposed" in text


def test_a_crash_is_an_error_of_its_pairs_only(tmp_path):
    found = list(matrix.Matrix(THIN, scribes(safetensors=Crashing("", "shared")), tmp_path).findings())
    status = {finding.impl: finding for finding in found}
    assert status["npz ~ npz"].status is Status.PASS
    assert status["npz ~ safetensors"].status is Status.ERROR
    assert "SIGSEGV" in status["npz ~ safetensors"].got


def test_a_partner_in_a_process_of_its_own(tmp_path):
    """Here with the shared layout, which needs no framework."""
    given = awkward.weights(THIN, 0)
    there = partner.Partner("", "shared", tmp_path, 60.0)
    try:
        there.write("npz", THIN, given, tmp_path / "a.npz")
        found = there.read("npz", THIN, tmp_path / "a.npz")
        assert matrix.differing(THIN, found, given, "npz") is None
        (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:2000])
        with pytest.raises(Refused, match=r"cut\.npz: no whole \.npz file"):
            there.read("npz", THIN, tmp_path / "cut.npz")
        with pytest.raises(Broken, match="KeyError: 'nonsense'"):
            there.read("nonsense", THIN, tmp_path / "a.npz")
        assert there.read("npz", THIN, tmp_path / "a.npz").keys() == given.keys()  # it goes on
        there.child.kill()
        with pytest.raises(Broken, match="SIGKILL"):
            there.read("npz", THIN, tmp_path / "a.npz")
        assert there.read("npz", THIN, tmp_path / "a.npz").keys() == given.keys()  # another one is started
    finally:
        there.close()


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, format",
    [
        *(
            ("a.npz", "npz"),
            ("a.safetensors", "safetensors"),
            ("a.pt", "torch"),
            ("a.pth", "torch"),
            ("a.pt2", "torch-export"),
        ),
        *(("a.keras", "keras"), ("a.weights.h5", "keras-weights"), ("a.index", "tf-checkpoint"), ("a.onnx", "onnx")),
    ],
)
def test_a_files_ending_says_its_format(tmp_path, name, format):
    assert table.of_file(tmp_path / name).name == format
    assert table.of_file(tmp_path).name == "savedmodel"
    assert table.of_file(tmp_path / "a.txt") is None


def test_a_name_nearly_right():
    with pytest.raises(KeyError, match="did you mean 'keras'"):
        table.called("kers")


# The chapter ----------------------------------------------------------------------------------------------------------


def test_the_chapter_on_own_formats():
    findings = [replace(finding, impl="numpy") for finding in verified(MODULE, "paper-thin", ("saved",))]
    text = "\n".join(chapter.chapter(findings))
    assert "| `numpy`" in text
    assert "same bits" in text
    assert "FAIL" not in text
    faulty = [
        replace(finding, impl="numpy", check="saved-formats", variant="paper-thin")
        for finding in judged(with_fault(MODULE, "npz", FAULTS["fc7-transposed"]))
    ]
    text = "\n".join(chapter.chapter(faulty))
    assert "FAIL: fc7 agrees if the matrix is transposed" in text
    assert not list(chapter.chapter([]))


def test_all_names_are_those_of_the_table():
    assert {format.name for format in table.FORMATS if format.file == "shared"} == set(shared.FORMATS)
    assert saved.SAVED == "saved"
