"""Traces: what is written is read, what was changed is refused, and a recorded implementation is judged as a live one."""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy_alexnet
import pytest
from harness import verified

from alexnet_parity.checks import catalogue, whole
from alexnet_parity.checks.recording import AGAIN, BATCH, UNRECORDED, Feed
from alexnet_parity.checks.running import record
from alexnet_parity.checks.traces import container, derived, packed, replay, room, taking, trace
from alexnet_parity.checks.traces.container import BadTrace
from alexnet_parity.checks.verify import Session, Unavailable
from alexnet_parity.impls.find import Target
from alexnet_parity.reference import probe, special_values, stimuli, variants
from alexnet_parity.reference.spec import Dropout, Flatten, Lrn, Network, Relu

THIN = "paper-thin"
PASSES = ("exact", "large", "photograph")
HEADER = 100_000  # bytes that it takes at most

# The container -------------------------------------------------------------------------------------------------------

ARRAYS = {
    "exact/batch/conv1": np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7) - 0.5,
    'a "name", with / and é': np.array([[1, -2, 3]], dtype=">i2"),
    "none": np.zeros((0, 4), np.int64),
    "one": np.array(3.5),
    "yes and no": np.array([True, False, True]),
    "turned": np.arange(6.0).reshape(2, 3).T,
    "not finite": np.array([np.nan, np.inf, -np.inf, -0.0], np.float32),
}
TEXTS = {"format": "a test", "é": 'line\nend, "quoted"'}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    container.write(tmp_path / "file.safetensors", ARRAYS, TEXTS)
    return tmp_path / "file.safetensors"


def equal(found, expected) -> bool:
    """The same names in the same order, the same dtypes (whatever the byte order), shapes and bits."""
    pairs = [
        (found[name], np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("<")))
        for name, array in expected.items()
    ]
    return list(found) == list(expected) and all(
        (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs
    )


def test_what_is_written_is_read(path):
    contents = container.read(path)
    assert equal(contents.arrays, ARRAYS)
    assert contents.metadata == TEXTS


def test_the_same_contents_give_the_same_bytes(path, tmp_path):
    container.write(tmp_path / "again.safetensors", ARRAYS, TEXTS)
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_the_safetensors_package_reads_it(path):
    safetensors = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.numpy")
    found = numpy.load_file(path)
    assert equal({name: found[name] for name in ARRAYS}, ARRAYS)
    with safetensors.safe_open(path, "np") as file:
        assert {name: file.metadata()[name] for name in TEXTS} == TEXTS


def test_what_the_safetensors_package_writes_is_read_unsealed(path):
    numpy = pytest.importorskip("safetensors.numpy")
    native = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for name, array in ARRAYS.items()}
    native["one"] = np.array(3.5)  # ascontiguousarray gives it an axis
    numpy.save_file(native, path, TEXTS)
    contents = container.read(path, sealed=False)
    assert equal({name: contents.arrays[name] for name in native}, native)
    assert contents.metadata == TEXTS
    with pytest.raises(BadTrace, match="no seal"):
        container.read(path)


def test_writing_leaves_nothing_half_done(path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        container.write(path, ARRAYS, TEXTS)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arrays, texts",
    [
        ({"a": np.zeros(2, complex)}, {}),
        ({"a": np.array(["text"])}, {}),
        ({"__metadata__": np.zeros(2)}, {}),
        ({}, {"header_sha256": "mine"}),
    ],
    ids=["complex numbers", "texts", "an array called as the texts are", "a text called as the seal"],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path, arrays, texts):
    with pytest.raises(BadTrace):
        container.write(tmp_path / "file.safetensors", arrays, texts)
    assert not list(tmp_path.iterdir())


def file_of(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


ENTRY = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
EIGHT = b"\0" * 8
ILL = {
    "empty": (b"", "too few"),
    "seven bytes": (b"\0" * 7, "too few"),
    "a header longer than the file": (file_of("{}", length=3), "header of 3 bytes"),
    "a header of 2^64 - 1 bytes": (file_of("{}", length=2**64 - 1), "header of 18446744073709551615"),
    "a header that is no text": (file_of(b"\xff\xfe"), "no JSON"),
    "a header that is no JSON": (file_of("{"), "no JSON"),
    "a header that is a list": (file_of("[]"), "is a list"),
    "brackets without end": (file_of("[" * 100_000), "no JSON"),
    "the same name twice": (file_of("{" + ENTRY + "," + ENTRY + "}", EIGHT), "twice"),
    "NaN": (file_of('{"a":NaN}'), "NaN, which is no JSON"),
    "texts that are none": (file_of('{"__metadata__":{"a":1}}'), "texts to texts"),
    "texts in a list": (file_of('{"__metadata__":[]}'), "texts to texts"),
    "an entry that is a number": (file_of('{"a":1}'), "expected dtype, shape and data_offsets"),
    "a field too many": (file_of("{" + ENTRY[:-1] + ',"x":1}}', EIGHT), "expected dtype, shape and data_offsets"),
    "a dtype that NumPy has not": (file_of("{" + ENTRY.replace("F32", "BF16") + "}", EIGHT), "found dtype 'BF16'"),
    "a dtype that is a list": (file_of("{" + ENTRY.replace('"F32"', "[]") + "}", EIGHT), r"found dtype \[\]"),
    "a size below zero": (file_of("{" + ENTRY.replace("[2]", "[-2]") + "}", EIGHT), "found shape"),
    "a size that is true": (file_of("{" + ENTRY.replace("[2]", "[true]") + "}", EIGHT), "found shape"),
    "a size of a half": (file_of("{" + ENTRY.replace("[2]", "[0.5]") + "}", EIGHT), "found shape"),
    "33 axes": (file_of("{" + ENTRY.replace("[2]", str([1] * 33)) + "}", EIGHT), "found shape"),
    "sizes beyond all memory": (
        file_of('{"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}}'),
        "more than can be held",
    ),
    "offsets the wrong way round": (file_of("{" + ENTRY.replace("[0,8]", "[8,0]") + "}", EIGHT), "data_offsets"),
    "three offsets": (file_of("{" + ENTRY.replace("[0,8]", "[0,8,8]") + "}", EIGHT), "data_offsets"),
    "another shape than the bytes": (file_of("{" + ENTRY.replace("[2]", "[3]") + "}", EIGHT), "expected 12"),
    "bytes missing at the end": (file_of("{" + ENTRY + "}", EIGHT[:7]), "cut short"),
    "bytes too many at the end": (file_of("{" + ENTRY + "}", EIGHT + b"\0"), "1 bytes behind"),
    "a gap": (file_of("{" + ENTRY.replace("[0,8]", "[4,12]") + "}", EIGHT + EIGHT), "a gap"),
    "an overlap": (file_of("{" + ENTRY + ',"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}', EIGHT), "an overlap"),
}  # fmt: skip


@pytest.mark.parametrize("name", ILL)
def test_an_ill_formed_file_is_refused_in_one_line(tmp_path, name):
    content, words = ILL[name]
    (tmp_path / "file.safetensors").write_bytes(content)
    for sealed in (True, False):
        with pytest.raises(BadTrace, match=r"file\.safetensors") as refused:
            container.read(tmp_path / "file.safetensors", sealed)
        assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(BadTrace, match=words):
        container.parse(content, sealed=False)


def test_a_well_formed_file_that_nobody_sealed_is_read_where_that_is_asked_for():
    found = container.parse(file_of("{" + ENTRY + "}", np.array([1.5, -2], "<f4").tobytes()), sealed=False)
    assert equal(found.arrays, {"a": np.array([1.5, -2], np.float32)})


@pytest.mark.parametrize("name", ["none.safetensors", ".", "nul\0.safetensors"], ids=["missing", "a folder", "NUL"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(BadTrace, match="cannot read"):
        container.read(tmp_path / name)


# A trace -------------------------------------------------------------------------------------------------------------


def trace_of(module, variant=THIN, passes=PASSES, seed=0, impl="numpy") -> trace.Trace:
    """Taken in this process."""
    asked = taking.Taking(Target(impl), variant, passes, seed)
    network = variants.variant(variant)
    return asked.trace(record(module, stimuli.stimulus(network, f.stimulus, seed), f, impl) for f in asked.feeds)


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("taken") / "numpy.safetensors"
    trace.write(path, trace_of(numpy_alexnet))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> bytes:
    """A trace of a few outputs, in full otherwise: what every bit of its header is flipped in."""
    path = tmp_path_factory.mktemp("small") / "numpy.safetensors"
    whole = trace_of(numpy_alexnet, passes=("exact",))
    outputs = whole.recordings["exact"].run()
    few = {name: outputs[name] for name in ("fc7", "relu7", "drop7", "fc8", "prob")}
    network = {**whole.network, "layers": whole.network["layers"][-2:]}
    recordings = {"exact": replace(whole.recordings["exact"], runs={BATCH: few})}
    trace.write(path, replace(whole, recordings=recordings, network=network, environment={"python": "3"}))
    return path.read_bytes()


def test_a_trace_is_read_as_it_was_written(taken):
    held, direct = trace.read(taken), trace_of(numpy_alexnet)
    assert (held.impl, held.device, held.variant, held.seed) == ("numpy", "cpu", THIN, 0)
    assert (held.network, held.digests) == (direct.network, direct.digests)
    assert {"python", "system", "sources"} <= set(held.environment)
    for name, recording in direct.recordings.items():
        found = held.recordings[name]
        assert {run: list(layers) for run, layers in found.runs.items()} == {
            run: list(layers) for run, layers in recording.runs.items()
        }
        assert all(equal(found.run(run), layers) for run, layers in recording.runs.items())
        assert (found.params, found.params_read) == (recording.params, recording.params_read)


def test_outputs_that_are_a_relu_of_others_or_the_same_are_left_out_and_made_again(taken):
    names = set(container.read(taken).arrays)
    assert "large/batch/conv1" in names
    assert not names & {"large/batch/relu1", "large/batch/drop6", "large/batch/flatten", "large/again/conv1"}
    assert {"large/batch/norm1", "large/batch/pool5", "large/batch/prob"} <= names


@pytest.mark.parametrize(
    "zero, gap, rule",
    [
        (0.0, 0.0, "relu"),
        (-0.0, math.nan, "relu, -0 and NaN kept"),
        (0.0, math.nan, ""),
        (-0.0, 0.0, ""),
    ],
)
def test_what_is_left_out_comes_back_bit_for_bit(zero, gap, rule):
    x = np.array([1.5, -2, -0.0, 0.0, math.nan, math.inf, -math.inf], np.float32)
    y = np.array([1.5, 0, zero, 0, gap, math.inf, 0], np.float32)
    assert derived.rule_for(y, x) == rule
    assert not rule or derived.made(rule, x, y.shape).tobytes() == y.tobytes()


def test_nothing_is_left_out_that_differs_in_a_bit():
    x = np.array([[1.5, -2.0]], np.float32)
    assert derived.rule_for(x.reshape(2, 1), x) == "same"
    assert derived.rule_for(np.array([1.5, 0], np.float32), x).startswith("relu")
    assert not derived.rule_for(np.array([1.5, -0.0], np.float32), x)
    assert not derived.rule_for(np.nextafter(x, np.float32(2)), x)
    assert not derived.rule_for(x.astype(np.float64), x)
    assert not derived.rule_for(x[:, :1], x)


PROBE = ("probe",)
REPEATING = np.tile(np.array([1.5, -0.0, np.nan, 2**-140, -3], np.float32), 800).reshape(2, 40, 50)


def test_what_is_packed_comes_back_bit_for_bit():
    small = packed.packed(REPEATING)
    assert small.nbytes * 10 < REPEATING.nbytes
    found = packed.unpacked(small, {"dtype": "<f4", "shape": [2, 40, 50]})
    assert derived.same_bits(found, REPEATING)


def test_what_does_not_shrink_is_not_packed():
    assert packed.packed(np.random.default_rng(0).normal(size=1000).astype(np.float32)) is None


@pytest.mark.parametrize(
    "change, about",
    [
        (lambda small: small[:-1], {}),
        (lambda small: np.append(small, np.uint8(0)), {}),
        (lambda small: small ^ np.uint8(1), {}),
        (lambda small: small, {"shape": [2, 40, 49]}),
        (lambda small: small, {"shape": [2, 40, 51]}),
        (lambda small: small, {"dtype": "<f8"}),
    ],
    ids=["cut", "longer", "other bytes", "a smaller shape", "a larger shape", "another dtype"],
)
def test_packed_bytes_that_do_not_fit_are_refused(change, about):
    with pytest.raises(ValueError, match=r"\w"):
        packed.unpacked(change(packed.packed(REPEATING)), {"dtype": "<f4", "shape": [2, 40, 50], **about})


def test_a_probe_is_read_as_it_was_recorded(tmp_path):
    direct = trace_of(numpy_alexnet, passes=PROBE)
    trace.write(tmp_path / "t.safetensors", direct)
    held = trace.read(tmp_path / "t.safetensors")
    assert "probe.conv1" in held.recordings
    assert all(equal(held.recordings[name].run(), recording.run()) for name, recording in direct.recordings.items())
    stored = sum(array.nbytes for array in container.read(tmp_path / "t.safetensors").arrays.values())
    assert stored * packed.WORTH < size(THIN, PROBE)


def outcome(path: Path, content: bytes):
    path.write_bytes(content)
    try:
        return trace.read(path), ""
    except BadTrace as error:
        return None, str(error)


def test_a_trace_cut_at_every_percent_is_refused(taken, tmp_path):
    whole, path = taken.read_bytes(), tmp_path / "cut.safetensors"
    for percent in range(100):
        found, words = outcome(path, whole[: len(whole) * percent // 100])
        assert found is None
        assert str(path) in words
        assert len(words.splitlines()) == 1
    assert outcome(path, whole)[0] is not None
    assert outcome(path, whole + b"\0")[0] is None


def test_a_trace_with_any_bit_of_its_header_flipped_is_refused(small):
    container.parse(small)
    head = 8 + int.from_bytes(small[:8], "little")
    for place in range(8 * head):
        changed = bytearray(small)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(BadTrace):
            container.parse(bytes(changed))


def test_a_trace_with_a_bit_of_an_output_flipped_is_refused(small, tmp_path):
    head = 8 + int.from_bytes(small[:8], "little")
    for place in (8 * head, 8 * len(small) - 1, 8 * head + 1001):
        changed = bytearray(small)
        changed[place // 8] ^= 1 << place % 8
        found, words = outcome(tmp_path / "flipped.safetensors", bytes(changed))
        assert found is None
        assert "its arrays are not those that were written" in words


def texts_changed(taken: Path, path: Path, change) -> Path:
    """A trace whose texts somebody changed and sealed again."""
    contents = container.read(taken)
    texts = dict(contents.metadata)
    change(texts)
    container.write(path, contents.arrays, texts)
    return path


def inside(name, change):
    """A change within a text that is JSON."""

    def changed(texts):
        value = json.loads(texts[name])
        change(value)
        texts[name] = json.dumps(value)

    return changed


def stimuli_with(change):
    return inside("stimuli", lambda held: change(held["exact"]))


def relu1(exact):
    """How the output of relu1 is made."""
    return exact["left_out"]["exact/batch/relu1"]


EDITS = {
    "another format": (lambda t: t.update(format="alexnet-parity/trace/0"), "found format 'alexnet-parity/trace/0'"),
    "no format": (lambda t: t.pop("format"), "found format None"),
    "no seed": (lambda t: t.pop("seed"), "seed missing"),
    "a seed that is no number": (lambda t: t.update(seed="one"), "not as `record` writes it"),
    "stimuli that are a list": (lambda t: t.update(stimuli="[]"), "not as `record` writes it"),
    "flags that are numbers": (lambda t: t.update(flags='{"threads": 1}'), "expected texts by name"),
    "an output that is not there": (stimuli_with(lambda exact: exact["runs"][BATCH].append("fc9")), "exact/batch/fc9"),
    "an output too many": (stimuli_with(lambda exact: exact["runs"][BATCH].remove("prob")), "does not speak of"),
    "an unknown rule": (stimuli_with(lambda exact: relu1(exact).update(rule="tanh")), "not as `record`"),
    "another size": (stimuli_with(lambda exact: relu1(exact).update(shape=[3])), "not as `record`"),
    "another network": (
        inside("network", lambda n: n["layers"][2].update(alpha=2e-5)),
        r"layers\[norm1\]\.alpha is 2e-05, expected 0\.0001",
    ),
    "a layer less": (inside("network", lambda n: n["layers"].pop()), "layers"),
    "an unknown variant": (lambda t: t.update(variant="papr"), "did you mean 'paper'"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_a_trace_whose_texts_do_not_fit_is_refused_with_the_reason(taken, tmp_path, edit):
    change, words = EDITS[edit]
    path = texts_changed(taken, tmp_path / "edited.safetensors", change)
    with pytest.raises(BadTrace, match=words) as refused:
        trace.read(path).check_network()
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("what", ["network", "params", "input"])
def test_a_trace_of_other_weights_inputs_or_network_is_refused_before_it_is_judged(taken, tmp_path, what):
    change = inside("stimuli", lambda held: held["large"]["digests"].update({what: "0" * 64}))
    path = texts_changed(taken, tmp_path / "edited.safetensors", change)
    session = Session([Target("file", file=str(path))], [THIN], catalogue.select(["chain"]))
    with pytest.raises(
        Unavailable, match=rf"its {what} of paper-thin/large has SHA-256 000000000000, expected \w{{12}};"
    ):
        list(session.findings())


# Judged ---------------------------------------------------------------------------------------------------------------


def alike(findings):
    """What findings say, but for who was asked and how to ask again."""
    return [replace(finding, impl="", replay="", device="") for finding in findings]


def judged(path: Path, checks=(), variant=THIN, seed=0):
    return list(Session([Target("file", file=str(path))], [variant], catalogue.select(checks), seed).findings())


ASKED = tuple(
    check.name
    for check in catalogue.CHECKS
    if check.scope is catalogue.Scope.ONE
    and set(check.runs) <= {BATCH, AGAIN, UNRECORDED}
    and set(check.feeds) <= set(PASSES)
)


def broken(change):
    """NumPy's implementation with its outputs or weights changed by change(name, array)."""

    class Model(numpy_alexnet.Model):
        def activations(self, x):
            return {name: change(name, array) for name, array in super().activations(x).items()}

        def params(self):
            return {name: change(name, array) for name, array in super().params().items()}

    return Model


def at(layer, new):
    return lambda name, array: new(array.copy()) if name == layer else array


def nan_in(array):
    array.flat[7] = np.nan
    return array


def crash(array):
    raise RuntimeError("no luck today")


def few_off(array):
    array.flat[5::3] += 1
    return array


SUBJECTS = {
    "as it should be": at("", None),
    "NaN": at("norm1", nan_in),
    "an ulp": at("conv3", lambda a: np.nextafter(a, np.float32(np.inf))),
    "another dtype": at("conv2", lambda a: a.astype(np.float64)),
    "another shape": at("pool2", lambda a: a[..., :-1]),
    "no numbers": at("pool2", lambda a: a[:0]),
    "a crash": at("fc6", crash),
    "one weight": at("conv1.bias", nan_in),
    "some weights": at("conv2.bias", few_off),
    "a weight turned": at("fc7.weight", lambda a: a.T[:-1]),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_recorded_implementation_is_judged_as_a_live_one(name, tmp_path):
    class Subject:
        __name__ = "subject"
        build = staticmethod(broken(SUBJECTS[name]))

    trace.write(tmp_path / "t.safetensors", trace_of(Subject))
    live = alike(verified(Subject, THIN, ASKED))
    assert alike(judged(tmp_path / "t.safetensors", ASKED)) == live
    assert all(finding.good() for finding in live) == (name == "as it should be")


def test_more_weights_than_are_kept_still_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "MOST", 100)

    class Subject:
        build = staticmethod(broken(at("fc7.weight", few_off)))

    trace.write(tmp_path / "t.safetensors", trace_of(Subject, passes=("large",)))
    (wrong,) = [f for f in judged(tmp_path / "t.safetensors", ["structure-readback"]) if not f.good()]
    assert wrong.layer == "fc7"
    assert wrong.got.startswith("100 of 1073 differ")


def test_what_is_not_in_the_trace_is_unsupported(taken):
    found = judged(taken, ["gradient-loss", "batch-large", "exact-dense"])
    assert {finding.status.value for finding in found} == {"UNSUPPORTED"}
    assert {finding.got for finding in found} == {"not in the trace numpy.safetensors"}


def test_traces_and_live_implementations_are_judged_together(taken, tmp_path):
    trace.write(tmp_path / "t.safetensors", replace(trace.read(taken), device="cuda"))
    targets = [Target("one", file=str(taken)), Target("two", file=str(tmp_path / "t.safetensors"))]
    session = Session(
        [*targets, replace(targets[0], name="three")], [THIN], catalogue.select(["together", "exact-chain"])
    )
    found = list(session.findings())
    assert {f.impl: f.device for f in found} == {
        "numpy (cpu)": "cpu",
        "numpy (cuda)": "cuda",
        "numpy (cpu, numpy.safetensors)": "cpu",
        "numpy (cpu) ~ numpy (cuda)": "cpu ~ cuda",
        "numpy (cpu) ~ numpy (cpu, numpy.safetensors)": "cpu",
        "numpy (cpu, numpy.safetensors) ~ numpy (cuda)": "cpu ~ cuda",
    }
    assert all(f.good() for f in found)
    assert f"--impl {taken}" in next(f.replay for f in found if f.impl == "numpy (cpu)")


@pytest.mark.parametrize(
    "label, name",
    [
        ("torch (cuda)", "torch"),
        ("torch@tf32-on (cuda, a.safetensors) ~ keras", "torch@tf32-on ~ keras"),
        ("torch (cuda, my@dir/a (1).safetensors) ~ keras (cpu)", "torch ~ keras"),
        ("my@dir/mine.py (cpu)", "my@dir/mine.py"),
    ],
)
def test_what_is_known_of_an_implementation_holds_wherever_it_was_recorded(label, name):
    assert replay.called(label) == name


def test_of_a_trace_of_another_variant_nothing_is_taken(taken):
    found = trace.read(taken).recording(Feed("paper", "exact"), "numpy")
    assert found.unsupported == f"not in the trace {taken.name}, which is of {THIN}"


# Sizes -----------------------------------------------------------------------------------------------------------------


def images(variant: str, stimulus: str) -> int:
    """How many a stimulus has, its weights not drawn."""
    network, (family, _, rest) = variants.variant(variant), stimulus.partition(".")
    if family == "probe" and rest:
        alone = network.only(rest)
        return len(probe.images(alone.layers[0], alone.input_shape, 0))
    if family == "special":
        return len(special_values.kind(rest).x)
    return 1 if family == "photograph" else stimuli.BATCH


def fed(variant: str, stimulus: str) -> Network:
    network, (family, _, rest) = variants.variant(variant), stimulus.partition(".")
    if family == "special":
        return special_values.kind(rest).network
    return network.only(rest) if rest else network


def size(variant: str, passes) -> int:
    """Bytes of the outputs in a trace of a well-behaved implementation, from the spec alone; those of a probe before packing."""
    asked = [feed for feed in taking.chosen(variant, passes) if not feed.fallback]
    return sum(
        4 * images(variant, feed.stimulus) * math.prod(after)
        for feed in asked
        for layer, _, after in fed(variant, feed.stimulus).walk()
        if not isinstance(layer, (Relu, Dropout, Flatten) + ((Lrn,) if feed.stimulus == "exact" else ()))
    )


def test_the_size_follows_from_the_spec(taken):
    assert sum(array.nbytes for array in container.read(taken).arrays.values()) == size(THIN, PASSES)


@pytest.mark.parametrize("variant", ["paper", "paper-224"])
def test_in_full_size_a_trace_is_under_48_mb_and_one_pass_under_16(variant):
    assert size(variant, taking.PASSES) + HEADER < 48e6  # even if nothing of the probe could be packed
    assert all(size(variant, [name]) + HEADER < 16e6 for name in ("exact", "large", "photograph", "special"))
    assert size(variant, PROBE) / packed.WORTH + HEADER < 16e6


# What a header may claim ---------------------------------------------------------------------------------------------

ONES = np.ones(250_000, np.float32)  # a MB, of 1 KB when it is deflated
OUTPUTS, TABLE = room.outputs_of(variants.variant(THIN)), "probe/batch/conv1"


def claiming(taken: Path, path: Path, relus: int = 0, about=None, rule: str = "relu") -> Path:
    """A small trace whose header claims one deflated array and as many rectified copies of it."""
    names = [f"copy{n}" for n in range(relus)]
    left_out = {f"probe/batch/{name}": {"rule": rule, "of": TABLE, "shape": [ONES.size]} for name in names}
    held = {
        **{"digests": {}, "runs": {BATCH: ["conv1", *names]}, "params": {}, "params_read": False, "absent": []},
        **{"unsupported": "", "errors": {}, "refused": {}, "left_out": left_out},
        "packed": {TABLE: {"dtype": "<f4", "shape": [ONES.size], **(about or {})}},
    }
    texts = {**container.read(taken).metadata, "stimuli": json.dumps({"probe": held})}
    container.write(path, {TABLE: packed.packed(ONES)}, texts)
    return path


def peak(path: Path) -> tuple[str, int]:
    """Why a trace was refused ("" if it was not), and the most bytes that reading it took."""
    tracemalloc.start()
    try:
        trace.read(path)
    except BadTrace as error:
        return str(error), tracemalloc.get_traced_memory()[1]
    else:
        return "", tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_file_that_claims_much_is_refused_before_anything_is_made(taken, tmp_path):
    path = claiming(taken, tmp_path / "t.safetensors", relus=300)
    assert path.stat().st_size < 100_000
    words, most = peak(path)
    assert words == (
        f"{path}: its outputs come to 301 MB when they are made again, expected at most {OUTPUTS // 10**6} MB for {THIN}; "
        "record it again, with fewer passes (--pass)"
    )
    assert most < 3e6


def test_what_the_network_can_have_given_is_made(taken, tmp_path):
    few = OUTPUTS // ONES.nbytes - 1
    assert not peak(claiming(taken, tmp_path / "few.safetensors", relus=few))[0]
    assert "its outputs" in peak(claiming(taken, tmp_path / "more.safetensors", relus=few + 1))[0]
    assert not peak(claiming(taken, tmp_path / "same.safetensors", relus=300, rule="same"))[0]  # no copies


@pytest.mark.parametrize(
    "about",
    [
        {"dtype": "|u1", "shape": [-1]},
        {"shape": [-250_000]},
        {"shape": [2.5e5]},
        {"shape": [1] * 40},
        {"dtype": None},
        {"dtype": "f4"},
        {"dtype": ",".join(["f4"] * 1000)},
        {"dtype": "|V99999"},
    ],
    ids=lambda about: str(about)[:40],
)
def test_an_array_of_no_size_is_refused_without_a_look_at_its_bytes(taken, tmp_path, about):
    words, most = peak(claiming(taken, tmp_path / "t.safetensors", about=about))
    assert "not as `record` writes it" in words
    assert most < 1e6


@pytest.mark.parametrize("shape", [[2**40], [2**62] * 32], ids=["a terabyte", "no number of bytes"])
def test_an_array_of_any_size_is_refused_in_one_line(taken, tmp_path, shape):
    words, most = peak(claiming(taken, tmp_path / "t.safetensors", about={"shape": shape}))
    assert "MB when they are made again, expected at most" in words
    assert len(words) < 300
    assert most < 1e6


def with_weights(path: Path, edit) -> Path:
    """A trace of an implementation whose fc7.bias is a little off, the texts of its stimuli edited."""

    class Subject:
        build = staticmethod(broken(at("fc7.bias", few_off)))

    trace.write(path, trace_of(Subject, passes=("large",)))
    return texts_changed(path, path.with_name("edited.safetensors"), inside("stimuli", edit))


@pytest.mark.parametrize(
    "about, words",
    [
        ({"dtype": "<f4", "shape": [2**30]}, "its weights come to 4,294 MB"),
        ({"dtype": "<f4", "shape": [3]}, "not as `record` writes it"),
        ({"dtype": "|V2000000000", "shape": []}, "not as `record` writes it"),
    ],
    ids=["too large", "another shape", "an item too large"],
)
def test_weights_that_are_copied_are_counted_too(tmp_path, about, words):
    def edit(held):
        assert held["large"]["params"]["fc7.bias"]["dtype"] == "<f4"
        held["large"]["params"]["fc7.bias"] = about

    refused, most = peak(with_weights(tmp_path / "t.safetensors", edit))
    assert words in refused
    assert most < 20e6


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    """An implementation may give anything: that its trace is too large is said before hours of it are carried home."""
    whole = trace_of(numpy_alexnet, passes=PROBE)
    far = np.zeros((100, 250_000), np.float32)  # deflated, next to nothing
    recording = replace(whole.recordings["probe.conv1"], runs={BATCH: {"conv1": far}})
    with pytest.raises(BadTrace, match="its outputs come to 100 MB when they are made again, expected at most"):
        trace.write(tmp_path / "t.safetensors", replace(whole, recordings={"probe.conv1": recording}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("odd", [np.array(["x" * 20_000]), np.zeros((1,) * 32, "|V20000")], ids=["text", "void"])
def test_weights_that_could_not_be_read_again_are_not_written(tmp_path, odd):
    whole = trace_of(numpy_alexnet, passes=("large",))
    recording = replace(whole.recordings["large"], params={"fc7.bias": odd})
    with pytest.raises(BadTrace, match="which no trace can hold"):
        trace.write(tmp_path / "t.safetensors", replace(whole, recordings={"large": recording}))


def test_a_trace_of_a_network_that_is_not_known_here_is_refused_for_that(taken, tmp_path):
    path = claiming(taken, tmp_path / "t.safetensors", relus=100)
    path = texts_changed(path, tmp_path / "edited.safetensors", lambda texts: texts.update(variant="papr"))
    with pytest.raises(BadTrace, match="did you mean 'paper'"):
        trace.read(path).check_network()
    assert max(room.outputs_of(variants.variant(name)) - room.BESIDES for name in ("paper", "caffe")) <= room.STRANGER


@pytest.mark.parametrize("variant", variants.names())
def test_all_that_can_be_recorded_can_be_read(variant):
    """Every layer of every run in doubles, and nothing of it left to the file; the weights of one stimulus."""
    network, asked = variants.variant(variant), taking.chosen(variant, taking.PASSES)
    outputs = sum(
        8 * images(variant, feed.stimulus) * math.prod(after) * len(feed.runs)
        for feed in asked
        for _, _, after in fed(variant, feed.stimulus).walk()
    )
    assert outputs <= room.outputs_of(network)
    assert sum(feed.read_back for feed in asked) == 1
    assert 4 * network.parameter_count() <= room.weights_of(network)
