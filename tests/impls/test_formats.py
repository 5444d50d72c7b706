"""Each framework's own files: not one bit changed on the way, planted faults located, what is damaged refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from format_faults import FAULTS, NETWORK, judged, with_fault
from harness import bad

from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.saved import awkward, matrix
from alexnet_parity.checks.saved.scribe import Here
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats import table
from alexnet_parity.impls.formats.codec import float32
from alexnet_parity.reference import variants

pytestmark = [pytest.mark.offers("formats"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

THIN = variants.variant("paper-thin")
CUTS = 12  # lengths at which each file is cut


@pytest.fixture(scope="module")
def formats(module):
    return module.formats.FORMATS


@pytest.fixture(scope="module")
def files(module, formats, tmp_path_factory):
    """A file of each format, of awkward weights."""
    folder, given = tmp_path_factory.mktemp("formats"), awkward.weights(THIN, 0)
    made = {}
    for name, codec in formats.items():
        made[name] = folder / f"{name}{table.called(name).ending}"
        codec.save(module.build(THIN, dict(given)), THIN, made[name])
    return made


def test_the_table_names_them(impl, formats):
    listed = {format.name for format in table.FORMATS if impl in format.impls or impl == "keras_ops"}
    assert set(formats) <= {format.name for format in table.FORMATS}
    assert impl == "keras_ops" or set(formats) == listed


@pytest.mark.once
@pytest.mark.parametrize(
    "name", ["fc7-transposed", "conv3-in-float16", "conv2-groups-swapped", "fc6-row-column-channel"]
)
def test_a_planted_fault_is_located(module, formats, name):
    format, fault = next(iter(formats)), FAULTS[name]
    wrong = bad(judged(with_fault(module, format, fault)))
    layer = fault.parameter.rpartition(".")[0]
    located = [
        finding for finding in wrong if "outputs as" not in finding.expected and "output as" not in finding.expected
    ]
    assert [finding.layer for finding in located] == [layer]
    assert fault.parameter in located[0].got
    assert fault.hint in located[0].hint


@pytest.mark.once
@pytest.mark.parametrize("name", ["fc6-without-minus-zero", "conv5-without-denormals", "conv4-nans-made-quiet"])
def test_bits_without_a_value_of_their_own_are_seen(module, formats, name):
    """Awkward weights show what ordinary ones have not."""
    format, fault = next(iter(formats)), FAULTS[name]
    wrong = bad(judged(with_fault(module, format, fault)))
    assert [finding.layer for finding in wrong] == [fault.parameter.rpartition(".")[0]]
    assert fault.hint in wrong[0].hint
    assert "(awkward bits)" in wrong[0].got


def test_every_format_into_every_other(impl, formats, tmp_path):
    """With NumPy's own among them; other frameworks' are tried by `alexnet-parity convert --matrix`."""
    here = Here(impl, next(f.file for f in table.FORMATS if f.name in formats))
    scribes = {"npz": Here("", "shared"), **dict.fromkeys(formats, here)}
    found = list(matrix.Matrix(NETWORK, scribes, tmp_path).findings())
    assert len(found) == (len(formats) + 1) ** 2
    assert {finding.status for finding in found} == {Status.PASS}, [f.line() for f in bad(found)]


def test_a_file_cut_short_is_refused(formats, files, tmp_path):
    for name, codec in formats.items():
        if files[name].is_dir():
            continue
        whole = files[name].read_bytes()
        cut = tmp_path / files[name].name
        for other in files[name].parent.glob(f"{files[name].stem}.*"):  # .bin, .data-00000-of-00001
            (tmp_path / other.name).write_bytes(other.read_bytes())
        for length in range(0, len(whole), -(-len(whole) // CUTS)):
            cut.write_bytes(whole[:length])
            refused_or_incomplete(codec, cut)


def test_numbers_cut_short_are_refused(formats, files, tmp_path):
    """Of formats with a file of their own for the numbers; read right where the end holds something else."""
    for name, codec in formats.items():
        for other in files[name].parent.glob(f"{files[name].stem}.*"):
            if other != files[name]:
                (tmp_path / files[name].name).write_bytes(files[name].read_bytes())
                for lost in (4, other.stat().st_size // 2):
                    (tmp_path / other.name).write_bytes(other.read_bytes()[:-lost])
                    try:
                        found = codec.read(tmp_path / files[name].name, THIN)
                    except Refused:
                        continue
                    assert lost == 4
                    assert matrix.differing(THIN, found, awkward.weights(THIN, 0), name) is None


def refused_or_incomplete(codec, path):
    """Where a format has no end of its own, what is missing is told by its name, later."""
    try:
        found = codec.read(path, THIN)
    except Refused as error:
        said = str(error)
    else:
        said = path.name
        assert set(found) < set(THIN.param_shapes())
    assert path.name.split(".")[0] in said
    assert "\n" not in said


def test_a_flipped_bit_is_seen_where_there_is_a_checksum(formats, files, tmp_path):
    """One bit of conv5's weight; where nothing in the file could tell, other numbers are read."""
    given = awkward.weights(THIN, 0)
    for name, codec in formats.items():
        path = tmp_path / files[name].name
        if files[name].is_dir():
            shutil.copytree(files[name], path)
        for other in files[name].parent.glob(f"{files[name].stem}.*"):
            if other.is_file():
                (tmp_path / other.name).write_bytes(other.read_bytes())
        assert flipped(path, codec.read(path, THIN)["conv5.weight"]), name
        if table.called(name).checksum:
            with pytest.raises(Refused):
                codec.read(path, THIN)
        else:
            assert "1 of 1296 differ" in matrix.differing(THIN, codec.read(path, THIN), given, name).got


def flipped(path, weight) -> bool:
    """Flip the lowest bit of a number of this weight wherever it lies, in whichever of the files and layout."""
    ways = [weight, weight.transpose(2, 3, 1, 0), weight.transpose(0, 2, 3, 1)]
    for file in [*(path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*"))]:
        content = bytearray(file.read_bytes()) if file.is_file() else bytearray()
        for way in ways:
            if (start := content.find(np.ascontiguousarray(way).tobytes())) >= 0:
                content[start] ^= 1
                file.write_bytes(content)
                return True
    return False


def test_rubbish_is_refused(formats, files, tmp_path):
    for name, codec in formats.items():
        path = tmp_path / f"rubbish{table.called(name).ending}"
        if files[name].is_dir():
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(b"\x80\x04cposix\nsystem\n(S'true'\ntR." * 20)
        with pytest.raises(Refused):
            codec.read(path, THIN)


def test_a_file_that_is_not_there_is_refused(formats, tmp_path):
    for name, codec in formats.items():
        with pytest.raises((Refused, FileNotFoundError)):
            codec.read(tmp_path / f"nowhere{table.called(name).ending}", THIN)


# What users meet --------------------------------------------------------------------------------------------------------


def test_torch_reads_no_pickles(impl, formats, tmp_path):
    if impl != "torch":
        pytest.skip("of PyTorch")
    import pickle

    import torch

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"conv1.weight": Evil()}))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(Refused):
            formats["torch"].read(tmp_path / name, THIN)
    assert not (tmp_path / "touched").exists()


def test_torch_widens_what_float32_has_and_refuses_the_rest(impl, formats, tmp_path):
    if impl != "torch":
        pytest.skip("of PyTorch")
    import torch

    given = {"a": torch.tensor([1.5, -0.0, 3e4])}
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({name: value.to(dtype) for name, value in given.items()}, tmp_path / "w.pt")
        found = float32("a", formats["torch"].read(tmp_path / "w.pt", THIN)["a"])
        assert found.dtype == np.float32
        assert list(found) == list(given["a"].to(dtype).float().numpy())
    torch.save({"a": torch.tensor([1 / 3], dtype=torch.float64)}, tmp_path / "w.pt")
    with pytest.raises(Refused, match="a holds 1 float64 numbers that float32 has not got"):
        float32("a", formats["torch"].read(tmp_path / "w.pt", THIN)["a"])


def test_keras_models_that_flatten_otherwise_are_refused(impl, formats, tmp_path):
    """A Flatten alone leaves row, column, channel: the same shapes, other weights."""
    if not impl.startswith("keras"):
        pytest.skip("of Keras")
    import keras
    from keras import layers

    _, height, width = THIN.input_shape
    plain = keras.Sequential(
        [keras.Input((height, width, 3)), layers.Flatten(name="flatten"), layers.Dense(2, name="fc6")]
    )
    plain.save(tmp_path / "plain.keras")
    with pytest.raises(Refused, match="without a Permute"):
        formats["keras"].read(tmp_path / "plain.keras", THIN)


def test_openvino_saves_halves_unless_told_otherwise(impl, module, formats, tmp_path):
    """`openvino.save_model` compresses to float16 by default: what it leaves is seen."""
    if impl != "openvino":
        pytest.skip("of OpenVINO")
    import openvino as ov

    model = module.build(THIN, awkward.weights(THIN, 0))
    ov.save_model(model.read, tmp_path / "a.xml")
    found = formats["openvino"].read(tmp_path / "a.xml", THIN)
    assert matrix.differing(THIN, found, awkward.weights(THIN, 0), "openvino") is not None
