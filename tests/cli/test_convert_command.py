"""The command `convert`: what it writes is what it read, bit for bit, or nothing; one clear line for what cannot be."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from harness import run

from alexnet_parity.checks import compare
from alexnet_parity.checks.saved import awkward, scribe
from alexnet_parity.cli import convert
from alexnet_parity.impls import find
from alexnet_parity.impls.foreign import weights
from alexnet_parity.impls.formats import table
from alexnet_parity.reference import variants
from alexnet_parity.reports import findings_file

THIN = variants.variant("paper-thin")
V = ("--variant", "paper-thin")
GIVEN = awkward.weights(THIN, 3)


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "a.npz", **GIVEN)
    return Path("a.npz")


def refused(capsys, *arguments) -> str:
    """The one line of exit status 2; nothing else was said, and nothing was left in the folder."""
    before = sorted(path.name for path in Path().iterdir())
    assert run("convert", *arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == before
    return said.err.removeprefix("alexnet-parity: ").strip()


def same(found) -> bool:
    return found.keys() == GIVEN.keys() and all(compare.patterns(found[name], GIVEN[name]).ok for name in GIVEN)


# What it does -----------------------------------------------------------------------------------------------------------


def test_npz_to_safetensors_and_back(source, capsys):
    assert run("convert", source, "-o", "a.safetensors", *V) == 0
    said = capsys.readouterr().out
    assert said == "a.safetensors: safetensors, 16 parameters, 23,401 numbers of paper-thin, every bit as in a.npz\n"
    assert run("convert", "a.safetensors", "--to", "npz", "-o", "b.npz", *V) == 0
    assert same(weights.npz(Path("b.npz")))
    assert same(weights.safetensors(Path("a.safetensors")))
    assert sorted(path.name for path in Path().iterdir()) == ["a.npz", "a.safetensors", "b.npz"]


def test_doubles_that_float32_has_are_taken(source):
    np.savez("wide.npz", **{name: value.astype(np.float64) for name, value in finite().items()})
    assert run("convert", "wide.npz", "-o", "b.npz", *V) == 0
    found = weights.npz(Path("b.npz"))
    assert all(compare.patterns(found[name], value).ok for name, value in finite().items())


def finite() -> dict[str, np.ndarray]:
    return {name: np.nan_to_num(value) for name, value in GIVEN.items()}


def test_a_checkpoint_of_training_gives_its_parameters(source, capsys):
    more = {f"velocity.{name}": value for name, value in GIVEN.items()}
    np.savez("step.npz", losses=np.zeros(3), **GIVEN, **more)
    assert run("convert", "step.npz", "-o", "b.npz", *V) == 0
    assert "velocities and losses were left behind" in capsys.readouterr().out
    assert same(weights.npz(Path("b.npz")))


def test_a_file_that_is_there_is_replaced_whole(source):
    Path("b.npz").write_bytes(b"old")
    assert run("convert", source, "-o", "b.npz", *V) == 0
    assert same(weights.npz(Path("b.npz")))


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
@pytest.mark.parametrize("name", ["b.safetensors", "b.npz"])
def test_a_new_file_is_for_those_whom_the_umask_lets_read_it_and_an_old_one_keeps_its_mode(source, umask, name):
    before = os.umask(umask)
    try:
        assert run("convert", source, "-o", name, *V) == 0
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o666 & ~umask
        Path(name).chmod(0o640)
        assert run("convert", source, "-o", name, *V) == 0
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_what_a_link_leads_to_is_written(source):
    Path("far").mkdir()
    Path("b.npz").symlink_to("far/c.npz")
    assert run("convert", source, "-o", "b.npz", *V) == 0
    assert Path("b.npz").is_symlink()
    assert same(weights.npz(Path("far/c.npz")))
    assert [path.name for path in Path("far").iterdir()] == ["c.npz"]


# What it refuses --------------------------------------------------------------------------------------------------------


def test_the_file_it_comes_from(source, capsys):
    before = source.read_bytes()
    said = refused(capsys, source, "-o", source, *V)
    assert said == "a.npz is an input of this command; give the output another name"
    assert source.read_bytes() == before


def test_a_link_to_a_file_of_another_ending(source, capsys):
    Path("b.npz").symlink_to("b.bin")
    said = refused(capsys, source, "-o", "b.npz", *V)
    assert said.endswith("b.bin: files of npz end in .npz")


def test_another_networks_weights(source, capsys):
    said = refused(capsys, source, "-o", "b.safetensors")
    assert said.startswith("a.npz: conv1.weight is 16 x 3 x 11 x 11, expected 96 x 3 x 11 x 11 for paper")
    assert "'paper-thin'" in said


def test_a_wrong_name_and_a_missing_one(source, capsys):
    given = dict(GIVEN)
    given["fc66.weight"] = given.pop("fc6.weight")
    np.savez("b.npz", **given)
    assert "has no 'fc66.weight'; did you mean 'fc6.weight'?" in refused(capsys, "b.npz", "-o", "c.npz", *V)
    del given["fc66.weight"]
    np.savez("b.npz", **given)
    assert "found no 'fc6.weight', expected 37 x 72" in refused(capsys, "b.npz", "-o", "c.npz", *V)


def test_numbers_that_float32_has_not(source, capsys):
    np.savez("b.npz", **{name: np.full(value.shape, 0.1) for name, value in GIVEN.items()})
    said = refused(capsys, "b.npz", "-o", "c.npz", *V)
    assert said == "b.npz: conv1.weight holds 5,808 float64 numbers that float32 has not got; round them first"
    np.savez("b.npz", **{name: np.ones(value.shape, int) for name, value in GIVEN.items()})
    assert "conv1.weight holds int64, expected float32" in refused(capsys, "b.npz", "-o", "c.npz", *V)


def test_pickled_objects(source, capsys):
    np.savez("b.npz", **{"conv1.weight": np.array([{}], dtype=object)})
    assert "b.npz: conv1.weight.npy holds Python objects" in refused(capsys, "b.npz", "-o", "c.npz", *V)


def test_complex_numbers(source, capsys):
    np.savez("b.npz", **{name: value.astype(np.complex64) for name, value in GIVEN.items()})
    said = refused(capsys, "b.npz", "-o", "c.npz", *V)
    assert said == "b.npz: conv1.weight.npy holds complex64, expected real numbers; save it as float32"


def test_of_another_precision_the_values_are_kept_and_not_the_bits(source, capsys):
    halves = {name: np.full(value.shape, 0.5, np.float16) for name, value in GIVEN.items()}
    np.savez("b.npz", **halves)
    assert run("convert", "b.npz", "-o", "c.npz", *V) == 0
    assert capsys.readouterr().out.endswith("23,401 numbers of paper-thin, every value as in b.npz\n")


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".keras", ".onnx", ".pt"])
def test_a_folder_with_a_files_ending_is_told_before_any_framework_starts(source, capsys, monkeypatch, ending):
    folder = Path(f"folder{ending}")
    folder.mkdir()
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a process was started"))
    monkeypatch.setattr(scribe, "able", lambda format: (format.impls[0] if format.impls else "", ""))
    said = refused(capsys, folder, "-o", "c.npz", *V)
    assert said.startswith(f"{folder} is a folder, expected a file of {folder.suffix[1:].replace('pt', 'torch')}; ")
    said = refused(capsys, source, "--from", "savedmodel", "-o", "c.npz", *V)
    assert said == "a.npz is a file, expected the folder of a savedmodel"


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_a_file_cut_anywhere(source, capsys, name):
    run("convert", "a.npz", "-o", "a.safetensors", *V)
    capsys.readouterr()
    whole = Path(name).read_bytes()
    cut = Path(f"cut{Path(name).suffix}")
    for length in range(0, len(whole), len(whole) // 20):
        cut.write_bytes(whole[:length])
        assert refused(capsys, cut, "-o", "c.npz", *V).startswith(f"{cut}: no whole")


def test_a_missing_file_a_folder_and_unknown_names(source, capsys):
    assert "no file 'b.npz' here" in refused(capsys, "b.npz", "-o", "c.npz", *V)
    assert "give --to" in refused(capsys, source, "-o", "c.txt", *V)
    assert "give --from" in refused(capsys, "c.txt", "-o", "c.npz", *V)
    assert "did you mean 'keras'" in refused(capsys, source, "--to", "kers", "-o", "c.npz", *V)
    assert "files of safetensors end in .safetensors" in refused(
        capsys, source, "--to", "safetensors", "-o", "c.npz", *V
    )
    assert "there is no folder nowhere" in refused(capsys, source, "-o", "nowhere/c.npz", *V)
    assert "did you mean 'paper'" in refused(capsys, source, "-o", "c.npz", "--variant", "papr")
    Path("sm").mkdir()
    assert "sm is there already" in refused(capsys, source, "--to", "savedmodel", "-o", "sm", *V)


def test_options_that_do_not_go_together(source, capsys):
    assert "give a SOURCE and -o FILE" in refused(capsys, source)
    assert "--matrix takes no SOURCE" in refused(capsys, source, "--matrix")
    assert "--json is for --matrix" in refused(capsys, source, "-o", "c.npz", "--json", "j.json", *V)


def test_a_framework_that_is_missing(source, capsys, monkeypatch):
    monkeypatch.setattr(find, "missing", lambda name: ["torch"])
    said = refused(capsys, source, "-o", "c.pt", *V)
    assert said == "torch needs torch, not installed here: pip install -e '.[torch]'"


# Planted faults -----------------------------------------------------------------------------------------------------------


def plant(monkeypatch, change) -> None:
    """Whatever is written in this process is changed on its way."""
    write = scribe.Here.write

    def changed(self, format, network, params, path):
        write(self, format, network, change(dict(params)), path)

    monkeypatch.setattr(scribe.Here, "write", changed)


def told(capsys, source) -> str:
    """What is said with exit status 1; the old file is still there."""
    Path("b.npz").write_bytes(b"old")
    assert run("convert", source, "-o", "b.npz", *V) == 1
    assert Path("b.npz").read_bytes() == b"old"
    assert sorted(path.name for path in Path().iterdir()) == ["a.npz", "b.npz"]
    said = capsys.readouterr()
    assert not said.out
    return said.err


def test_a_conversion_that_changes_a_bit_is_not_written(source, capsys, monkeypatch):
    def flip(params):
        weight = params["fc7.weight"].copy()
        weight.view(np.uint32)[3, 4] ^= 1
        return {**params, "fc7.weight": weight}

    plant(monkeypatch, flip)
    said = told(capsys, source)
    assert "b.npz: not written, npz: fc7.weight: 1 of 1073 differ, first at [3, 4]" in said


def test_one_that_drops_minus_zero_or_a_parameter_is_not_written(source, capsys, monkeypatch):
    plant(monkeypatch, lambda params: {name: np.where(v == 0, np.float32(0), v) for name, v in params.items()})
    assert "0x00000000 (0.0) for 0x80000000 (-0.0)" in told(capsys, source)
    monkeypatch.undo()
    monkeypatch.chdir(source.parent)


# The matrix -------------------------------------------------------------------------------------------------------------


def test_the_matrix_of_what_is_here(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(find, "missing", lambda name: ["a framework"])
    assert run("convert", "--matrix", "--json", tmp_path / "m.json") == 0
    said = capsys.readouterr()
    assert not said.err
    count = len(table.FORMATS)
    assert said.out.splitlines()[-1] == (
        f"PASS: 4 of 4 pairs of formats the same bits; {count**2 - 4} could not be tried here"
    )
    assert "torch needs a framework, not installed here: pip install -e '.[torch]'" in said.out
    written = json.loads((tmp_path / "m.json").read_text())
    assert written["schema"] == findings_file.SCHEMA
    assert len(written["findings"]) == count**2
    assert run("report", tmp_path / "m.json", "-o", tmp_path / "m.md") == 0


def test_a_matrix_that_fails_says_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(find, "missing", lambda name: ["a framework"])
    plant(monkeypatch, lambda params: {**params, "fc8.bias": params["fc8.bias"][::-1].copy()})
    assert run("convert", "--matrix") == 1
    said = capsys.readouterr().out
    assert "FAIL        npz ~ safetensors paper-thin convert-matrix awkward bits fc8" in said
    assert said.splitlines()[-1].startswith("FAIL: 0 of 4 pairs")


def test_caffes_files_are_read_only():
    assert not any(format.ending == convert.CAFFE for format in table.FORMATS)
