"""The spec as JSON comes back as the same network, and a document that was edited is refused with the place."""

from __future__ import annotations

import json

import pytest

from alexnet_parity.reference import export, reading, variants
from alexnet_parity.reference.reading import BadSpec

PAPER = export.as_dict(variants.variant("paper"))


@pytest.mark.parametrize("name", variants.names())
def test_every_variant_comes_back(name, tmp_path):
    network = variants.variant(name)
    (tmp_path / "spec.json").write_text(json.dumps(export.as_dict(network), indent=1))
    assert reading.read(tmp_path / "spec.json") == network


def edited(change):
    document = json.loads(json.dumps(PAPER))
    change(document)
    return document


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d["layers"][0].update(channels=97), r"conv2: .*97 inputs .* do not divide into 2 groups"),
        (lambda d: d["layers"][0].update(stride=0), "conv1.stride: found 0, expected 1 or more"),
        (lambda d: d["layers"][0].update(kernel="11"), "conv1.kernel: found '11', expected a whole number"),
        (lambda d: d["layers"][0].update(kernel=True), "conv1.kernel: found True, expected a whole number"),
        (lambda d: d["layers"][0].update(padding=[1]), "conv1.padding: found a list of 1, expected two whole numbers"),
        (lambda d: d["layers"][0].update(init_std=float("nan")), "conv1.init_std: found nan, expected a finite number"),
        (lambda d: d["layers"][0].update(kind="convv"), "found the kind 'convv'; did you mean 'conv'?"),
        (lambda d: d["layers"][0].pop("groups"), "'conv1': no groups, expected it"),
        (lambda d: d["layers"][0].update(dilation=2), r"layers\[0\]: 'dilation' which is not known"),
        (lambda d: d["layers"][0].update(parameters=7), r"layers\[0\].parameters: found 7, but 34944 follows"),
        (lambda d: d["layers"][1].update(name="conv1"), "layer names repeat: conv1"),
        (lambda d: d["totals"].update(neurons=1), "totals.neurons: found 1, but "),
        (lambda d: d.update(input=[3, 227]), "found input a list of 2"),
        (lambda d: d.update(layers=[]), "found layers a list of 0, expected a list of 1 to 1000"),
        (lambda d: d.update(schema="x"), "expected the schema 'alexnet-parity/spec/1'"),
        (lambda d: d.update(extra=1), "the document: 'extra' which is not known"),
    ],
    ids=range(16),
)
def test_an_edited_document_is_refused_with_the_place(change, words):
    with pytest.raises(BadSpec, match=words) as error:
        reading.network(edited(change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "not complete JSON"),
        (json.dumps(PAPER)[:-1], "cut short"),
        ("[" * 100_000, "not complete JSON"),
        ('{"schema": 1, "schema": 2}', "found 'schema' twice"),
        ('{"schema": NaN}', "found NaN"),
        ("[]", "found a list of 0, expected the schema"),
        ("9" * 4000, "found a number of 13288 bits"),
    ],
    ids=range(7),
)
def test_text_that_is_no_spec_is_refused(text, words):
    with pytest.raises(BadSpec, match=words):
        reading.parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, content in ((tmp_path / "none.json", None), (tmp_path / "bytes.json", b"\xff\xfe{")):
        if content:
            path.write_bytes(content)
        with pytest.raises(BadSpec, match=path.name):
            reading.read(path)
