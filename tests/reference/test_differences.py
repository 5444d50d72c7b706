"""The table of differences: complete, worked by hand where the networks are asked, and unable to drift from them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from alexnet_parity.reference import oracle, variants
from alexnet_parity.reference.differences import COLUMNS, NOTHING, Stance, aspects, networks
from alexnet_parity.reference.differences_ablations import ABLATIONS, changes
from alexnet_parity.reference.differences_lrn import CONVENTIONS, ORIGINAL, PAPER, Call

ROWS = {aspect.number: aspect for aspect in aspects()}


def test_all_49_aspects_are_there_once_with_every_cell_and_a_source():
    assert list(ROWS) == list(range(1, 50))
    for aspect in ROWS.values():
        assert tuple(aspect.cells) == COLUMNS
        assert all(cell.text.strip() for cell in aspect.cells.values())
        assert aspect.sources


def test_every_source_is_the_paper_this_project_or_lines_of_a_public_file():
    address = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/blob/[\w.]+/[\w./-]+(#L\d+(-L\d+)?)?$")
    given = [source for aspect in ROWS.values() for source in aspect.sources]
    given += [source for one in (*CONVENTIONS, *ABLATIONS) for source in one.sources]
    for source in given:
        if source.repository:
            assert address.match(source.address), source.label
        else:
            assert re.match(r"Section|Table|Abstract|impls/", source.label)


# By hand, from layers-145.cfg, train_val.prototxt and torchvision's alexnet.py.
BY_HAND = {
    2: ("224 x 224 x 3", "224 x 224 x 3", "227 x 227 x 3", "224 x 224 x 3"),
    3: ("32 if", "33", "30", "no grid"),
    8: ("96 of 11 x 11 x 3, stride 4",) * 3 + ("64 of 11 x 11 x 3, stride 4",),
    9: (
        "not stated",
        "padding 0, rounded up: reads 0 before and 3 after",
        "padding 0, rounded down: reads no zeros",
        "padding 2, rounded down: reads 2 before and 1 after",
    ),
    10: ("55 x 55",) * 4,
    11: ("after conv1", "after pool1", "after conv1", "after conv1"),
    12: ("conv1 and conv2",) * 3 + ("none",),
    13: ("norm first",) * 3 + (NOTHING,),
    14: ("2", "2", "1", NOTHING),
    15: ("0.0001", "2e-05", "2e-05", NOTHING),
    16: ("0.75; 5",) * 3 + (NOTHING,),
    17: ("all 96, all 256", "48 of 96, 128 of 256", "all 96, all 256", NOTHING),
    18: ("none", "after norm2: 5 x 5 pixels, k 1, alpha 4e-05, beta 0.75", "none", "none"),
    19: ("maximum of 3 x 3, stride 2",) * 4,
    20: ("256 of 5 x 5 x 48",) * 3 + ("192 of 5 x 5 x 64",),
    21: ("384 of 3 x 3 x 256",) * 3 + ("384 of 3 x 3 x 192",),
    22: ("384 of 3 x 3 x 192",) * 3 + ("256 of 3 x 3 x 384",),
    23: ("256 of 3 x 3 x 192",) * 3 + ("256 of 3 x 3 x 256",),
    24: ("after conv5", "after pool5", "after conv5", "after conv5"),
    26: ("4096",) * 4,
    27: ("yes", "no", "no", "no"),
    28: ("outputs of fc6 and fc7, rate 0.5",) * 3 + ("outputs of pool5 and fc6, rate 0.5",),
    30: ("N(0, 0.01)",) * 3 + ("uniform within +-0.0525, 0.025",),  # 1 / sqrt(363), 1 / sqrt(1600)
    31: ("N(0, 0.01)", "N(0, 0.03)", "N(0, 0.01)", "uniform within +-0.0241, 0.017, 0.0208"),
    32: ("N(0, 0.01)", "N(0, 0.01)", "N(0, 0.005)", "uniform within +-0.0104, 0.0156"),  # sqrt(9216), sqrt(4096)
    33: ("N(0, 0.01)",) * 3 + ("uniform within +-0.0156",),
    34: ("1", "1", "0.1", "uniform within +-0.025, 0.017, 0.0208, 0.0104, 0.0156"),
    35: ("0", "0", "0", "uniform within +-0.0525, 0.0241, 0.0156"),
    47: ("60,965,224", "60,965,224", "60,965,224", "61,100,840"),
}


def departures(rows, expected=BY_HAND):
    """(number, column) of every cell that does not begin as worked out by hand."""
    return [
        (number, column)
        for number, texts in expected.items()
        for column, text in zip(COLUMNS, texts, strict=True)
        if not re.match(rf"{re.escape(text)}($|[^\w.])", rows[number].cells[column].text)
    ]


def test_what_is_read_off_the_networks_is_what_was_worked_out_by_hand():
    assert departures(ROWS) == []
    assert {aspect.number for aspect in ROWS.values() if aspect.computed} == set(BY_HAND)


def test_a_drift_of_a_network_would_be_seen():
    drifted = networks() | {"caffe": networks()["caffe"].edit("norm1", k=2.0).edit("norm2", k=2.0)}
    assert departures({aspect.number: aspect for aspect in aspects(drifted)}) == [(14, "caffe")]


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_no_difference_between_the_networks_is_missing_from_the_table(column):
    """Undo each field, place and layer in which a network differs from the paper's: a cell of its column must change."""
    given = networks()
    table = cells(given, column)
    undone = dict(each_difference_undone(given["paper"], given[column]))
    assert undone
    assert [what for what, network in undone.items() if cells(given | {column: network}, column) == table] == []


def cells(given, column):
    return [aspect.cells[column].text for aspect in aspects(given)]


def each_difference_undone(paper, other):
    for layer in paper.layers:
        if layer.name not in other.names():
            continue
        for field in dataclasses.fields(layer):
            wanted = getattr(layer, field.name)
            if field.name != "source" and getattr(other[layer.name], field.name) != wanted:
                yield f"{layer.name}.{field.name}", other.edit(layer.name, **{field.name: wanted})
        before, now = (network.names()[network.names().index(layer.name) - 1] for network in (paper, other))
        if layer.kind in ("relu", "dropout") and before != now:
            yield f"{layer.name} moved", other.move(layer.name, after=before)
    for name in other.names():
        if name not in paper.names():
            yield f"{name} added", other.swap(name)
    for norm, before in (("norm1", "relu1"), ("norm2", "relu2")):
        if norm not in other.names():
            yield f"{norm} missing", other.swap(before, other[before], paper[norm])
    if paper.input_shape != other.input_shape:
        yield "input", dataclasses.replace(other, input_shape=paper.input_shape)


def test_between_pool5_and_fc6_the_networks_hold_what_row_25_says():
    for column, network in networks().items():
        names = network.names()
        between = [network[n].kind for n in names[names.index("pool5") + 1 : names.index("fc6")]]
        assert set(between) <= {"relu", "flatten", "dropout"}, column  # torchvision's mean over 6 x 6 is the identity


def test_the_paper_never_departs_from_itself_and_what_it_leaves_open_is_open_for_all():
    for aspect in ROWS.values():
        assert aspect.cells["paper"].stance is not Stance.DIFFERS
        if aspect.cells["paper"].text.startswith("not stated"):
            assert {cell.stance for cell in aspect.cells.values()} == {Stance.OPEN}, aspect.name


# LRN's conventions --------------------------------------------------------------------------------------------------


def same_formula(one, other):
    return (one.n, one.k, one.beta) == (other.n, other.k, other.beta) and one.alpha == pytest.approx(other.alpha)


@pytest.mark.parametrize("wanted", [PAPER, ORIGINAL], ids=["paper", "original"])
@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda convention: convention.name)
def test_the_call_given_for_a_formula_means_that_formula(convention, wanted):
    assert same_formula(convention.means(convention.call(wanted)), wanted)


def test_the_papers_arguments_as_they_stand_mean_other_formulas_elsewhere():
    as_printed = {convention.name: convention.means(Call(5, 2.0, 1e-4)) for convention in CONVENTIONS}
    assert as_printed["PyTorch"].alpha == pytest.approx(2e-5)
    assert as_printed["TensorFlow"].n == 11
    assert same_formula(as_printed["mbrukman, Pylearn2's LRN2D"], PAPER)
    assert {name for name, layer in as_printed.items() if same_formula(layer, PAPER)} == {
        "the paper",
        "mbrukman, Pylearn2's LRN2D",
    }


def written(name, wanted):
    return next(convention for convention in CONVENTIONS if convention.name == name).write(wanted)


def numbers():
    return np.random.default_rng(0).normal(0, 100, (2, 14, 3, 5)).astype(np.float32)  # (N, C, H, W)


def run_torch(call, x):
    torch = pytest.importorskip("torch")
    return eval(call, {"nn": torch.nn, "x": torch.from_numpy(x)}).numpy()


def run_tensorflow(call, x):
    tf = pytest.importorskip("tensorflow")
    return eval(call, {"tf": tf, "x": tf.constant(x.transpose(0, 2, 3, 1))}).numpy().transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "name, run", [("PyTorch", run_torch), ("TensorFlow", run_tensorflow), ("Keras 3", run_tensorflow)]
)
def test_the_call_as_written_gives_the_formula_in_the_framework(name, run):
    x = numbers()
    for wanted in (PAPER, dataclasses.replace(ORIGINAL, towers=1)):
        got = run(written(name, wanted), x)
        np.testing.assert_allclose(got, oracle.lrn(x.astype(np.float64), wanted), rtol=1e-5)
    printed = written(name, PAPER).replace("alpha=0.0005", "alpha=0.0001").replace("depth_radius=2", "depth_radius=5")
    assert not np.allclose(run(printed, x), oracle.lrn(x.astype(np.float64), PAPER), rtol=1e-2)


# Ablations ----------------------------------------------------------------------------------------------------------


def test_what_each_ablation_changes_is_read_off_the_networks():
    found = {ablation.variant: ablation.changes() for ablation in ABLATIONS}
    assert found["original-no-lrn"] == ("without norm1", "without norm2", "without cnorm2")
    assert found["original-no-communication"] == (
        "conv2 channels 256 to 320",
        "conv3 groups 1 to 2",
        "fc6 units 4096 to 8192",
        "fc6 groups 1 to 2",
        "fc7 groups 1 to 2",
    )
    assert {"conv2 padding 2 to 1", "conv5 padding 1 to 0"} < set(found["original-non-overlapping"])
    assert found["cifar-11pct"] == ("with norm1", "with norm2", "local3 channels 32 to 64")
    one_tower = found["original-one-tower"]
    assert "conv4 channels 384 to 192" in one_tower
    assert not [change for change in one_tower if re.match(r"conv5 channels|fc", change)]


def test_changes_sees_order_kind_and_nothing_where_nothing_changes():
    paper = variants.variant("paper")
    assert changes(paper, paper.edit("conv1", init_std=1.0)) == ()
    assert changes(paper, paper.move("relu1", after="pool1")) == ("layers in another order",)
    swapped = paper.swap("pool5", dataclasses.replace(paper["relu5"], name="pool5"))
    assert changes(paper, swapped) == ("pool5 is a relu, not a pool",)
    assert changes(paper, paper.edit("norm1", alpha=2e-5)) == ("norm1 alpha 0.0001 to 2e-05",)
