"""The whole way with real torch models: from a file that somebody wrote to the words on the terminal."""

from __future__ import annotations

import json

import pytest

from alexnet_parity.cli.main import main

pytest.importorskip("torch")

# Few maps keep it quick; the geometry is the paper's.
ALEXNET = '''
import torch
from torch import nn


class AlexNet(nn.Module):
    """The paper's network with a tenth of its maps, as people write it."""

    def __init__(self, num_classes=11, alpha=1e-4, k=2.0):
        super().__init__()

        def norm():
            return nn.LocalResponseNorm(5, alpha=alpha, beta=0.75, k=k)

        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 11, stride=4), nn.ReLU(inplace=True), norm(), nn.MaxPool2d(3, 2),
            nn.Conv2d(12, 32, 5, padding=2, groups=2), nn.ReLU(inplace=True), norm(), nn.MaxPool2d(3, 2),
            nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(48, 48, 3, padding=1, groups=2), nn.ReLU(inplace=True),
            nn.Conv2d(48, 32, 3, padding=1, groups=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(1152, 64), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(64, 64), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(64, num_classes), nn.Softmax(dim=1),
        )

    def forward(self, x):
        return self.classifier(self.features(x))


def typical():
    return AlexNet()


def right():
    return AlexNet(alpha=5e-4)


def k_of_one():
    return AlexNet(alpha=5e-4, k=1.0)


class Raises(AlexNet):
    def forward(self, x):
        x = self.features(x)
        raise ValueError("no such\\nluck")


class Tuple(AlexNet):
    def forward(self, x):
        maps = self.features(x)
        return self.classifier(maps), maps


class Prints(AlexNet):
    def forward(self, x):
        print("hello from the model")
        import os
        os.write(1, b"and from below Python")
        return super().forward(x)


class Exits(AlexNet):
    def forward(self, x):
        import sys
        sys.exit("enough")


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 100), nn.ReLU(), nn.Linear(100, 10))
'''


@pytest.fixture
def audited(tmp_path, monkeypatch, capsys):
    """A function: (exit status, the JSON, standard output, standard error) of auditing a name in that file."""
    (tmp_path / "their_net.py").write_text(ALEXNET)
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str):
        status = main(["audit", f"their_net.py:{name}", *arguments, "--json", "a.json"])
        said = capsys.readouterr()
        file = tmp_path / "a.json"
        return status, json.loads(file.read_text()) if file.exists() else None, said.out, said.err

    return run


def traps(document) -> set[tuple[str, str]]:
    """(layer, trap) of everything about the function, not about first values."""
    return {(d["layer"], d["trap"]) for d in document["deviations"] if not d["trap"].startswith("init")}


WIDTHS = {"conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"}


def test_alpha_divided_by_n_is_named_at_both_layers(audited):
    status, document, out, err = audited("typical")
    named = {layer for layer, trap in traps(document) if trap == "lrn-alpha-over-n"}
    assert named == {"norm1", "norm2"}, out
    assert {layer for layer, _ in traps(document)} - named <= WIDTHS  # which has fewer maps, and says so
    assert status == 1
    assert not err
    assert "lrn-alpha-over-n" in out
    assert out.splitlines()[-1].startswith("DEVIATES: nearest variant paper; ")


def test_the_same_with_alpha_times_n_has_no_lrn_to_name(audited):
    _, document, _, _ = audited("right")
    assert {layer for layer, _ in traps(document)} <= WIDTHS


def test_another_k_is_named(audited):
    _, document, out, _ = audited("k_of_one")
    assert {layer for layer, _ in traps(document)} - WIDTHS == {"norm1", "norm2"}, out
    found = {d["found"] for d in document["deviations"] if d["layer"] == "norm1"}
    assert any("k = 1" in text for text in found), found


def test_a_model_that_raises_is_told_in_one_line_with_its_place(audited):
    status, document, out, err = audited("Raises", "--input-shape", "2,3,227,227")
    assert (status, document, out) == (2, None, "")
    assert err.count("\n") == 1
    assert "ValueError: no such luck at their_net.py:" in err


def test_a_model_that_exits_is_told_in_one_line(audited):
    status, document, out, err = audited("Exits", "--input-shape", "2,3,227,227")
    assert (status, document, out) == (2, None, "")
    assert err.count("\n") == 1
    assert "called exit(enough) at their_net.py:" in err


def test_a_model_that_returns_a_tuple_is_audited(audited):
    _, document, out, _ = audited("Tuple")
    assert {layer for layer, trap in traps(document) if trap == "lrn-alpha-over-n"} == {"norm1", "norm2"}, out
    assert any("2 outputs" in note for note in document["notes"])


def test_what_a_model_prints_is_not_in_the_outcome(audited):
    _, document, out, _ = audited("Prints")
    assert document is not None
    assert "hello" not in out
    assert "below Python" not in out


def test_an_mlp_is_told_to_be_no_alexnet(audited):
    status, document, out, err = audited("mlp")
    assert status == 1
    assert out.count("\n") == 1
    assert out.startswith("NO ALEXNET: their_net.py:mlp: ")
    assert document["verdict"] == "no AlexNet"
    assert not err


def test_a_report_is_written_of_a_real_one(audited, tmp_path):
    audited("typical", "--report", str(tmp_path / "a.md"))
    text = (tmp_path / "a.md").read_text()
    assert "lrn-alpha-over-n" in text
    assert "features.2" in (tmp_path / "figures" / "a-layers.svg").read_text()
