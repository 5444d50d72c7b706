"""Whatever is in a file: a reader reads it right, or says in one line what is wrong with it. Nothing else ever happens.

Each reader gets 2,000 files (`--fuzz-examples N` for more): any bytes, and whole files with bits flipped, parts cut, spliced and
repeated, numbers made huge or none, values of other kinds. None may raise anything but the reader's own error, take memory that
the file does not hold, or run what is pickled in it. What carries a seal is read only as it was written.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import Runs, binaryproto, caffemodel, params, small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import arbitrary, damaged, reworded

from alexnet_parity.checks.audit.result import Audit, Deviation, Row
from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.checks.recording import Recording
from alexnet_parity.checks.traces import container, trace
from alexnet_parity.evaluate import mean, weights
from alexnet_parity.evaluate.errors import Unusable
from alexnet_parity.evaluate.state import State
from alexnet_parity.impls.foreign import weights as foreign
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.reference import draws, export, reading, spec
from alexnet_parity.reference.original_code import config, notes
from alexnet_parity.reports import findings_file
from alexnet_parity.reports.findings_file import Findings
from alexnet_parity.train import checkpoint
from alexnet_parity.train.recipe import Recipe

safetensors = pytest.importorskip("safetensors.numpy")

HEADROOM = 2**29  # bytes beyond what the process has already: far more than any file here holds
LONGEST = 20_000  # characters of a message


@dataclass(frozen=True)
class Reader:
    """valid: whole files. documents: what `written` makes into files after a change of values. sealed: none but `valid` reads.

    again: what was read, written out again, which has to be what the file said (for files that are text).
    """

    name: str
    file: str
    read: Callable[[Path], Any]
    error: type[Exception]
    valid: tuple[bytes, ...]
    documents: tuple[Any, ...] = ()
    written: Callable[[Any], bytes] = lambda document: json.dumps(document).encode()
    sealed: bool = False
    again: Callable[[Any], Any] | None = None

    def __str__(self) -> str:
        return self.name


NETWORK = spec.Network(
    "small",
    (3, 9, 8),
    (
        spec.Conv("conv1", 4, 3, stride=2, padding=(1, 0)),
        spec.Lrn("norm1"),
        spec.Pool("pool1", 2, 1, ceil=True),
        spec.Flatten("flatten"),
        spec.Dense("fc2", 5),
        spec.Softmax("prob"),
    ),
    "a test",
)


# Whole files ------------------------------------------------------------------------------------------------------------


def as_text(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()


def found() -> Findings:
    rows = [Finding(Status.PASS, f"conv{n}", "bits", "bits", 0.5 * n, numbers={"rmse": 1e-7}, seed=n) for n in (1, 2)]
    rows.append(Finding(Status.FAIL, "conv3", "bits", "none", None, check="exact-chain", impl="torch", variant="paper"))
    digests = {"paper/exact": {"params": "a" * 64, "input": "b" * 64}}
    run = {"sources": "c" * 64, "python": "3", "system": "", "processor": "", "seed": 0, "device": "cpu"}
    runs = [{**run, "implementations": {"torch": {"torch": "2"}}}]
    return Findings(tuple(rows), {"runs": runs, "digests": digests})


def sealed(document: Any) -> bytes:
    """A findings file that says this, with a seal that holds, so that its readers look at what it says."""
    return findings_file.sealed(json.dumps(document, indent=1)).encode()


def recorded(folder: Path) -> bytes:
    recording = Recording("numpy", "paper-thin", "exact", flags={"numpy": "2"}, params_read=True)
    recording.runs = {"batch": {"conv1": draws.normal(0, "a", (1, 2, 3, 4), 1.0), "relu1": np.zeros((1, 2, 3, 4))}}
    recording.runs["again"] = dict(recording.runs["batch"])
    recording.params = {"conv1.weight": None}
    spec_of = trace.spec_of(NETWORK)
    digests = {"exact": {"network": "a" * 64, "params": "b" * 64, "input": "c" * 64}}
    table = np.tile(np.array([1.5, -2, np.nan], np.float32), 300).reshape(3, 300)
    probe = Recording(
        "numpy", "paper-thin", "probe", {"batch": {"conv1": table, "relu1": np.maximum(np.nan_to_num(table), 0)}}
    )
    digests["probe"] = digests["exact"]
    recordings = {"exact": recording, "probe": probe}
    held = trace.Trace("numpy", "cpu", "paper-thin", 0, spec_of, digests, {}, {"numpy": "2"}, recordings)
    trace.write(folder / "t.safetensors", held)
    return (folder / "t.safetensors").read_bytes()


def unpacked(content: bytes) -> dict[str, Any]:
    """What a trace's texts say, those that are JSON as what they mean."""
    texts = container.parse(content).metadata
    return {name: json.loads(text) if text[:1] in '{["' else text for name, text in texts.items()}


def packed(content: bytes, document: Any) -> bytes:
    """A trace with the same arrays that says this, sealed."""
    texts = document if isinstance(document, dict) else {"format": document}
    said = {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in texts.items()}
    with contextlib.suppress(UnicodeEncodeError):
        return b"".join(map(bytes, container.pieces(container.parse(content).arrays, said)))
    return content


def as_npz(arrays: dict[str, Any], compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def as_npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def saved(folder: Path, recipe: Recipe) -> bytes:
    shapes = recipe.network().param_shapes()
    values = {name: draws.normal(1, name, shape, 1.0) for name, shape in shapes.items()}
    losses, errors = np.array([2.3, 2.2]), (checkpoint.Error(2, "test", 5, 7),)
    checkpoint.write(folder / "s", checkpoint.State(2, values, values, losses, errors, "torch", {"torch": "2"}), recipe)
    return (folder / "s").read_bytes()


def of_dtype(content: bytes, dtype: str, size: int) -> bytes:
    """A safetensors file with one more array, of a dtype that NumPy may not have."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header["more"] = {"dtype": dtype, "shape": [2], "data_offsets": [len(data), len(data) + 2 * size]}
    said = json.dumps(header).encode()
    return len(said).to_bytes(8, "little") + said + data + bytes(2 * size)


def narrow(content: bytes) -> tuple[bytes, ...]:
    """The file, and the same with an array of bfloat16 and one of an 8-bit float."""
    return content, of_dtype(content, "BF16", 2), of_dtype(content, "F8_E4M3", 1)


def with_metadata(content: bytes, texts: Any) -> bytes:
    """A safetensors file with the same arrays and other texts."""
    arrays = safetensors.load(content)
    told = (
        {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in texts.items()}
        if isinstance(texts, dict)
        else {}
    )
    with contextlib.suppress(UnicodeEncodeError):
        return safetensors.save(arrays, told)
    return content


class Small(Recipe):
    def network(self) -> spec.Network:
        return NETWORK


STATE_RUN, STATE_PLAN = {"variant": "paper", "seed": 0}, {0: 4, 4: 6}


def state_file(folder: Path) -> bytes:
    with State(folder / "state", STATE_RUN, STATE_PLAN) as state:
        state.add({"start": 0, "stop": 4, "images": [1, 2], "unreadable": [], "flags": {}})
    return (folder / "state").read_bytes()


def read_state(path: Path) -> list[Any]:
    with State(path, STATE_RUN, STATE_PLAN) as state:
        return list(state.batches())


LAYERS = b"""[data]
type=data
dataIdx=0

[conv1]
type=conv
inputs=data
channels=3
filters=16
padding=1
stride=2
filterSize=5
initW=0.01
partialSum=1
neuron=relu  # a comment

[pool1]
type=pool
pool=max
inputs=conv1
start=0
sizeX=3
stride=2
outputsX=0
channels=16

[rnorm1]
type=cmrnorm
inputs=pool1
channels=16
size=5

[fc1]
type=fc
outputs=10
inputs=rnorm1,pool1
initW=0.01,0.02

[probs]
type=softmax
inputs=fc1
"""
PARAMS = b"""[conv1]
epsW=0.01
epsB=0.02
momW=0.9
momB=0.9
wc=0.0005

[fc1]
epsW=dexp[base=0.01;tgtFactor=10;numSteps=3],0.01
epsB=0.02
momW=0.9,0.9
momB=0.9
wc=0,0

# epoch 20: set epsw to 0.001 from 0.01
# epoch 30: killed
# logprob: 1.5, 0.4, 0.18
# 60965224 params (incl biases)
"""


def audited() -> Audit:
    one = Deviation("norm1", "lrn-alpha-over-n", "deviation", "a", "b", "moves", "cause", "3.3", "f.2", ("caffe",), 0.5)
    row = Row("f.0", "Conv2d", "a convolution", "conv1", (4, 5, 6), 0.5, ("f.0.weight",))
    return Audit(
        "m:net", "torch", "paper", "deviates", (one,), (row,), ("a note",), (3, 9, 8), 2, 0, {"numpy": "2"}, 1.5
    )


def read_audit(path: Path) -> Audit:
    """As the command reads what the process of an audit sends it."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    return Audit.from_dict(document)


def readers(folder: Path, witness: Path) -> Iterator[Reader]:
    """Every reader with small files of its kind. witness: what a file that is unpickled would make."""
    described, verified, traced = export.as_dict(NETWORK), found().as_json(), recorded(folder)
    yield Reader(
        *("spec", "s.json", reading.read, reading.BadSpec, (as_text(described),), (described,)), again=export.as_dict
    )
    yield Reader(
        *("findings", "f.json", findings_file.read, findings_file.BadFile, (verified.encode(),)),
        *((json.loads(verified),), sealed, True),
    )
    yield Reader(
        *("trace", "t.safetensors", trace.read, container.BadTrace, (traced,)),
        *((unpacked(traced),), partial(packed, traced), True),
    )
    network, shape = small(12, 11, 3), (4, 5)
    values = params(network)
    image = draws.normal(0, "mean", (3, *shape), 50.0)
    evil = np.array([Runs(witness)] * 3, dtype=object)
    for name, contents in {
        "w.npz": (as_npz(values), as_npz(values, True), as_npz({**values, "fc3.bias": evil})),
        "w.safetensors": narrow(safetensors.save(values)),
        "w.caffemodel": (caffemodel(values), caffemodel(values, v1=True)),
    }.items():
        yield Reader(f"weights {name}", name, partial(weights.read, network=network), Unusable, contents)
    some = {name: values[name] for name in ("fc3.bias", "fc3.weight")}
    for name, contents in {
        "a.npz": (as_npz(some), as_npz(some, True), as_npz({"a": evil})),
        "a.safetensors": narrow(safetensors.save(some)),
    }.items():
        yield Reader(f"audit's weights {name}", name, lambda path: dict(foreign.read(path)), Refused, contents)
    for name, contents in {"m.npy": (as_npy(image), as_npy(evil)), "m.binaryproto": (binaryproto(image),)}.items():
        yield Reader(f"mean {name}", name, lambda path: mean.read(str(path), shape), Unusable, contents)
    recipe = Small("paper", "d" * 64)
    kept = saved(folder, recipe)
    (folder / "k.safetensors").write_bytes(kept)
    told = checkpoint.opened(folder / "k.safetensors")[1]
    yield Reader(
        *("checkpoint", "c.safetensors", partial(checkpoint.read, recipe=recipe), Unusable, narrow(kept)),
        *((told,), partial(with_metadata, kept)),
    )
    batch = {"start": 0, "stop": 4, "images": [1], "unreadable": [], "flags": {}}
    begun = state_file(folder)
    first = begun.splitlines()[0] + b"\n"
    yield Reader(
        *("evaluation's state", "state", read_state, Unusable, (begun,)),
        *((batch,), lambda document: first + json.dumps(document).encode() + b"\n"),
    )
    yield Reader("layers.cfg", "l.cfg", lambda path: config.read("n", path), config.BadConfig, (LAYERS,))
    (folder / "layers.cfg").write_bytes(LAYERS)
    yield Reader(
        *("layer-params.cfg", "p.cfg", lambda path: config.read("n", folder / "layers.cfg", path), config.BadConfig),
        (PARAMS,),
    )
    yield Reader(*("run notes", "n.cfg", lambda path: notes.read("n", config.text(path)), config.BadConfig), (PARAMS,))
    yield Reader(
        *(
            "audit",
            "a.json",
            read_audit,
            ValueError,
            (audited().as_json().encode(),),
            (json.loads(audited().as_json()),),
        )
    )


NAMES = [
    *("spec", "findings", "trace", "weights w.npz", "weights w.safetensors", "weights w.caffemodel"),
    *("audit's weights a.npz", "audit's weights a.safetensors", "mean m.npy", "mean m.binaryproto", "checkpoint"),
    *("evaluation's state", "layers.cfg", "layer-params.cfg", "run notes", "audit"),
]


@pytest.fixture(scope="module")
def witness(tmp_path_factory) -> Path:
    """What a file with a pickle in it makes when it is trusted."""
    return tmp_path_factory.mktemp("pickled") / "witness"


@pytest.fixture(scope="module")
def table(tmp_path_factory, witness) -> dict[str, Reader]:
    return {reader.name: reader for reader in readers(tmp_path_factory.mktemp("whole"), witness)}


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has that: thirty thousand files are written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """A file that declares a terabyte and makes a reader ask for it would be refused the memory, and seen."""
    resource = pytest.importorskip("resource")
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def attempt(reader: Reader, path: Path, content: bytes, sealed_again: bool = False) -> None:
    """One file: read right, or refused in one line of the reader's own."""
    path.write_bytes(content)
    try:
        said = reader.read(path)
    except reader.error as error:
        message = str(error)
        assert message
        assert len(message.splitlines()) == 1, message
        assert len(message) < LONGEST, message[:200]
        return
    assert not reader.sealed or sealed_again or content in reader.valid, "a sealed file was changed, and read"
    if reader.again:
        assert json.loads(json.dumps(reader.again(said))) == json.loads(content)


def fuzzed(
    reader: Reader, path: Path, strategy: st.SearchStrategy[bytes], examples: int, sealed_again: bool = False
) -> None:
    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def run(content: bytes) -> None:
        attempt(reader, path, content, sealed_again)

    run()


def test_every_reader_is_in_the_list(table):
    assert list(table) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_are_read(name, table, tmp_path):
    reader = table[name]
    path = tmp_path / reader.file
    path.write_bytes(reader.valid[0])
    assert reader.read(path) is not None
    for content in reader.valid[1:]:
        attempt(reader, path, content)
    for document in reader.documents:
        attempt(reader, path, reader.written(document), sealed_again=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_right_or_refused_in_one_line(name, table, witness, folder, request):
    reader, examples = table[name], request.config.getoption("fuzz_examples")
    path = folder / reader.file
    tenth = max(examples // 10, 1)
    worded = 4 * tenth if reader.documents else 0
    fuzzed(reader, path, arbitrary(reader.valid[0][:16]), tenth)
    fuzzed(reader, path, damaged(*reader.valid), examples - tenth - worded)
    if worded:
        fuzzed(reader, path, reworded(*reader.documents).map(reader.written), worded, sealed_again=True)
    assert not witness.exists()


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"schema": ['])
def test_deep_nesting_is_no_crash(opening, table, tmp_path):
    for reader in table.values():
        attempt(reader, tmp_path / reader.file, (opening * 100_000).encode())
