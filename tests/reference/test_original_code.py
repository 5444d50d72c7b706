"""The cuda-convnet format: what is read, what follows from it, what is refused; the real files where they are at hand.

`ALEXNET_ORIGINAL_CODE` names a folder with the authors' files (several, separated by the system's path separator).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alexnet_parity.reference.original_code import arithmetic, config, notes, record, saved
from alexnet_parity.reference.original_code.code import NETS, NOTES, RECORDED, BadConfig, OriginalCode

GIVEN = [Path(name) for name in os.environ.get("ALEXNET_ORIGINAL_CODE", "").split(os.pathsep) if name]
real = pytest.mark.skipif(not GIVEN, reason="ALEXNET_ORIGINAL_CODE names no folder with the authors' files")

# Two towers of different widths, a join, an unshared layer: every size differs from every other.
LAYERS = """
# towers
[data]
type=data
dataIdx=0

[labels]
type=data
dataIdx=1

[conv1a]
type=conv
inputs=data
channels=3
filters=4
filterSize=5
stride=2
padding=1
initW=0.01
partialSum=7
neuron=ident

[conv1b]
type=conv
inputs=data
channels=3
filters=6
filterSize=5
stride=2
padding=1
initB=1
gpu=1

[pool1b]
type=pool
pool=avg
inputs=conv1b
channels=6
sizeX=3
stride=2

[pool1a]
type=pool
pool=max
inputs=conv1a
channels=4
sizeX=3
stride=2
neuron=relu

[conv2]
type=conv
inputs=pool1a,pool1b
channels=4,6
filters=8,8
filterSize=3,1
padding=1,0
stride=1,1
initW=0.02,0.03
groups=2,1

[local3]
type=local
inputs=conv2
channels=8
filters=5
filterSize=3

[fc7]
type=fc
inputs=local3,conv1b
outputs=7
"""
PARAMS = """
[conv1a]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
wc=0.0005
[conv1b]
epsW=dexp[base=0.01;tgtFactor=250;numSteps=4]
epsB=0.002
momW=0.9
momB=0.9
wc=0.0005
[conv2]
epsW=0.001,0
epsB=0.002
momW=0.9,0.8
momB=0.9
wc=0.0005,0.0004
[local3]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
wc=0.0005
[fc7]
epsW=0.001,0.001
epsB=0.002
momW=0.9,0.9
momB=0.9
wc=0.0005,0.0005
"""
SIZE = 16  # conv1: 1 + ceil((18 - 5) / 2) = 8; pool1: 1 + ceil((8 - 3) / 2) = 4; local3: 1 + (4 - 3) = 2


def small(layers: str = LAYERS, params: str | None = PARAMS):
    return config.net("small", layers, params, input_size=SIZE)


def test_every_field_has_its_type_and_one_value_per_input():
    net = small()
    conv2, conv1b = net.layer("conv2"), net.layer("conv1b")
    assert (conv2.filters, conv2.filterSize, conv2.channels, conv2.padding) == (8, (3, 1), (4, 6), (1, 0))
    assert (conv2.initW, conv2.epsW, conv2.momW, conv2.wc) == ((0.02, 0.03), (0.001, 0.0), (0.9, 0.8), (0.0005, 0.0004))
    assert (conv1b.initW, conv1b.initB, conv1b.gpu, conv1b.groups) == ((0.01,), 1.0, 1, (1,))
    assert (conv1b.epsW, conv1b.other["epsW"]) == ((0.01,), "dexp[base=0.01;tgtFactor=250;numSteps=4]")
    assert net.layer("conv1a").neuron is None
    assert net.layer("pool1a").neuron == "relu"
    assert net.layer("conv1a").lines == (11, 21)
    assert [layer.name for layer in net.readers("conv1b")] == ["pool1b", "fc7"]
    assert net.gpu("pool1b") == 1


def test_sizes_round_up_and_counts_follow():
    net = small()
    shapes = net.shapes()
    assert shapes["conv1a"] == (4, 8, 8)  # 13 / 2 rounded up
    assert shapes["pool1a"] == (4, 4, 4)  # 5 / 2 rounded up
    assert shapes["local3"] == (5, 2, 2)
    counts = net.parameter_table()
    assert counts["conv1b"] == (6 * 3 * 25, 6)
    assert counts["conv2"] == (8 * (4 // 2 * 9 + 6), 8)
    assert counts["local3"] == (4 * 5 * 8 * 9, 4 * 5)  # kernel and bias at each of 2 x 2 positions
    assert counts["fc7"] == (7 * (20 + 6 * 64), 7)
    assert net.multiply_add_table()["conv2"] == 8 * 16 * (18 + 6)
    assert net.multiply_add_table()["local3"] == 20 * 72
    assert net.neurons() == 4 * 64 + 6 * 64 + 8 * 16 + 20 + 7
    assert net.parameters(SIZE + 2) != net.parameters(SIZE)  # local layers grow with the input


def test_partial_sums_decide_at_which_sizes_the_code_runs():
    net = small()
    assert net.partial_sums() == {"conv1a": (64, 7)}
    assert not net.runs_at(SIZE)
    assert net.edit("conv1a", partialSum=16).runs_at(SIZE)
    assert not net.edit("conv1a", partialSum=16).runs_at(2)  # too small for the windows


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("filters=4\n", "filters=four\n", ["line 15", "conv1a", "filters=four", "a whole number"]),
        ("filters=4\n", "filters=0\n", ["line 15", "1 or more"]),
        ("filters=4\n", "filters=4,4\n", ["2 values of filters", "expected 1"]),
        ("filters=4\n", "", ["conv1a", "no filters", "filters=..."]),
        ("filters=8,8", "filters=8,9", ["same for each input"]),
        ("filterSize=3,1", "filterSize=3", ["1 values of filterSize", "expected 2"]),
        ("initW=0.01\n", "initW=nan\n", ["initW=nan", "a number"]),
        ("padding=1\n", "padding=-1\n", ["padding=-1", "0 or more"]),
        ("type=local", "type=locall", ["type=locall", "did you mean 'local'"]),
        ("inputs=conv2\n", "inputs=conv3\n", ["reads 'conv3'", "did you mean"]),
        ("inputs=data\n", "inputs=fc7\n", ["reads 'fc7'", "no layer above"]),
        ("channels=8\n", "channels=9\n", ["local3", "reads 9 channels of conv2"]),
        ("filterSize=3,1\npadding=1,0", "filterSize=3,1\npadding=1,1", ["conv2", "4 and 6 outputs"]),
        ("[conv1b]", "[conv1a]", ["second [conv1a]", "line 11"]),
        ("[conv1b]", "[conv1b", ["expected [name]"]),
        ("filters=4\n", "filters\n", ["found 'filters'", "key=value"]),
        ("filters=4\n", "filters=4\nFilters=4\n", ["Filters twice"]),
        ("# towers", "type=data", ["before any [name]"]),
    ],
)
def test_a_malformed_layer_file_is_refused_in_one_line(old, new, words):
    assert old in LAYERS
    with pytest.raises(BadConfig) as error:
        small(LAYERS.replace(old, new, 1))
    message = str(error.value)
    assert "layers-small.cfg" in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("[fc7]", "[fc8]", ["layer-params-small.cfg", "fc8", "did you mean 'fc7'"]),
        ("epsW=0.001,0\n", "epsW=0.001\n", ["conv2", "1 values of epsW", "expected 2"]),
        ("wc=0.0005\n[conv1b]", "[conv1b]", ["conv1a", "no wc"]),
        (PARAMS, "only words", ["key=value"]),
        (PARAMS, "# nothing", ["no [section]"]),
    ],
)
def test_a_malformed_parameter_file_is_refused_in_one_line(old, new, words):
    assert old in PARAMS
    with pytest.raises(BadConfig) as error:
        small(params=PARAMS.replace(old, new, 1))
    for word in words:
        assert word in str(error.value)


def test_keys_have_no_case_and_comments_may_follow_values():
    text = LAYERS.replace("filterSize=3,1", "FILTERSIZE = 3, 1  # both")
    assert small(text).layer("conv2") == small().layer("conv2")


def test_an_edit_changes_a_copy_and_refuses_unknown_names():
    net = small()
    assert net.edit("conv2", filters=9).layer("conv2").filters == 9
    assert net.layer("conv2").filters == 8
    assert net.without("pool1b").layer("conv2").inputs == ("pool1a", "conv1b")
    with pytest.raises(KeyError, match="did you mean 'filterSize'"):
        net.edit("conv2", filtersize=(3, 3))
    with pytest.raises(KeyError, match="did you mean 'conv2'"):
        net.edit("conv22", filters=9)


NOTED = """[conv1]
epsW=0.1
# 1234 params (incl biases)
# on lsvrc-2010: logs/small-7.log
# at /tmp/ConvNet__2012-01-02_03.04.05
# start epsw 0.02
# epoch 10: set epsw to 0.002 from 0.02
# epoch 11: set epsw to 0.0001 from 0.002 on conv1,conv2, set color noise to 0 from 0.3
# epoch 12: paused for lunch
# epoch 13: set epsw to 0 on conv1, 0.0002 elsewhere
# epoch 14.5: killed
# test center patch:
# logprob:  1.5, 0.41, 0.19 (as expected)

# nothing of note here

# validation multiview logprob: 1.4, 0.40, 0.18
"""


def test_notes_become_events_and_results():
    found = notes.read("small", NOTED)
    assert found.stated_parameters == 1234
    first, second = found.runs
    assert (first.data, first.log, first.started) == ("2010", "small-7", "2012-01-02")
    assert [(e.epoch, e.to) for e in first.reductions()] == [(10, 0.002), (13, 0.0002)]
    assert [(e.epoch, e.was, e.to) for e in first.noise()] == [(11, 0.3, 0)]
    assert (first.frozen("conv1"), first.frozen("conv2"), first.stopped()) == (13, None, 14.5)
    assert first.first_rate() == 0.02
    assert [e.kind for e in first.events] == ["start", "rate", "rate", "noise", "pause", "rate", "rate", "stop"]
    centre, many = found.results
    assert (centre.split, centre.views, centre.top1, centre.top5) == ("test", "centre", 0.41, 0.19)
    assert (many.split, many.views, many.line) == ("validation", "multiview", 17)
    assert found.result(views="multiview") is many
    assert second.results == (many,)
    with pytest.raises(KeyError, match="line 13"):
        found.result(split="test", views="multiview")


def test_an_edit_of_the_notes_changes_one_line():
    found = notes.read("small", NOTED)
    assert found.edit(13, top1=0.5).results[0].top1 == 0.5
    assert found.edit(14 - 3, epoch=99.0).runs[0].stopped() == 99.0
    with pytest.raises(KeyError, match="nothing at line 2"):
        found.edit(2, top1=0.5)


# What was recorded -----------------------------------------------------------------------------------------------------

# weights, biases, multiply-adds, outputs of convolutional and dense layers
COUNTS = {
    "145": (60_954_656, 10_568, 724_406_816, 659_272),
    "148": (60_954_656, 10_568, 724_406_816, 659_272),
    "147": (60_954_656, 10_568, 686_891_552, 633_416),
    "145-half": (59_788_304, 10_008, 391_514_384, 355_864),
    "150": (60_699_680, 14_728, 724_323_872, 710_024),
    "137": (60_859_840, 10_536, 628_615_616, 562_472),
    "146-2012-2011": (61_544_480, 10_824, 745_640_480, 668_488),
    "114": (140_502_464, 20_776, 708_258_240, 572_712),
    "imagenet-1gpu": (61_090_496, 10_344, 714_188_480, 494_184),
    "cifar-18pct": (89_440, 138, None, None),
    "cifar-13pct": (1_114_048, 2_442, None, None),
    "cifar-11pct": (2_109_376, 3_594, None, None),
}


@pytest.fixture(scope="module")
def recorded():
    return OriginalCode.recorded()


@pytest.mark.parametrize("name", NETS)
def test_counts_of_the_original_nets(recorded, name):
    net = recorded.net(name)
    weights, biases, multiply_adds, neurons = COUNTS[name]
    assert net.parameters() == (weights, biases)
    assert multiply_adds in (None, net.multiply_adds())
    assert neurons in (None, net.neurons())


def test_net_114_has_as_many_parameters_as_its_authors_noted(recorded):
    assert recorded.notes("114").stated_parameters == 140_523_240
    assert recorded.net("114").parameter_count() == 140_523_240
    assert recorded.edit("114", "conv5a", filters=127).net("114").layer("conv5a").filters == 127
    with pytest.raises(ValueError, match="reads 128 channels of conv5a"):
        recorded.edit("114", "conv5a", filters=127).net("114").parameter_count()
    assert recorded.edit("114", "fc1000", outputs=999).net("114").parameter_count() != 140_523_240


def test_uncropped_cifar_nets_have_more_local_weights(recorded):
    assert recorded.net("cifar-13pct").parameters(32) == (1_897_152, 4_234)
    assert recorded.net("cifar-11pct").parameters(32) == (3_666_624, 6_282)


def test_only_224_and_226_satisfy_the_partial_sums(recorded):
    net = recorded.net("145")
    assert arithmetic.accepted_borders(net) == {15: 226, 16: 224}
    assert len(arithmetic.accepted_borders(net.edit("conv1a", partialSum=1).edit("conv1b", partialSum=1))) >= 2
    assert arithmetic.accepted_borders(net.edit("conv1a", partialSum=7)) == {}


def test_what_was_recorded_is_what_the_claims_rest_on(recorded):
    net, log = recorded.net("145"), recorded.notes("145-2010")
    assert net.layer("conv1a").lines == (9, 20)
    assert (net.layer("rnorm1a").size, net.layer("rnorm1a").scale, net.layer("rnorm1a").minDiv) == (5, 1e-4, 2)
    assert net.layer("conv1a").neuron is None
    assert log.result(split="test", views="multiview").top1 == 0.374727
    assert [event.epoch for event in log.run(data="2010").reductions()] == [23, 51, 78]
    assert [event.epoch for event in recorded.notes("147").runs[0].reductions()] == [23, 51, 79]
    assert recorded.fact("minibatch") == 128
    assert all(fact.source for fact in recorded.facts.values())
    assert not recorded.parsed


def test_logged_errors_of_ten_patches_are_whole_numbers_of_images(recorded):
    for name in NOTES:
        for result in (one for one in recorded.notes(name).results if one.views == "multiview"):
            images = 50_000 if result.split == "validation" or name == "145" else 150_000
            for rate in (result.top1, result.top5):
                assert abs(rate * images - round(rate * images)) < images * 5.1e-7, (name, result)
    logged = [fact.value for name, fact in recorded.facts.items() if name.startswith("logged-")]
    assert len(logged) == 9
    assert all(round(rate * 50_000) / 50_000 == rate for one in logged for rate in (one["top1"], one["top5"]))


def test_counts_of_nets_without_files_follow_from_their_sister(recorded):
    sister, outputs = recorded.net("146-2012-2011"), recorded.fact("outputs-146-2009")
    net, counts = sister.edit("fc1000", outputs=outputs), recorded.fact("counts-146-2009")
    assert net.parameters() == (counts["weights"], counts["biases"])
    assert (net.multiply_adds(), net.neurons()) == (counts["multiply_adds"], counts["neurons"])
    wide, narrow = recorded.fact("outputs-146-2011"), recorded.fact("bottleneck-146-2011")
    head = 4096 * sum(narrow) + sum(n * sum(narrow) for n in wide)  # both halves read both bottlenecks
    weights, biases = sister.edit("fc1000", outputs=1).parameters()
    counts = recorded.fact("counts-146-2011")
    assert weights - 4096 + head == counts["weights"]
    assert biases - 1 + sum(narrow) + sum(wide) == counts["biases"]


def test_flipped_facts_leave_the_original_alone(recorded):
    changed = recorded.edit_notes("145-2010", 178, top1=0.5).edit_fact("minibatch", 129)
    assert changed.notes("145-2010").result(views="multiview").top1 == 0.5
    assert changed.fact("minibatch") == 129
    assert {layer.size for layer in recorded.edit_all("145", "rnorm", size=7).net("145").of_type("cmrnorm")} == {7}
    assert recorded.without("145", "cnorm2a", "cnorm2b").net("145").layer("pool2a").inputs == ("rnorm2a",)
    assert recorded == OriginalCode.recorded()


@pytest.mark.parametrize(
    "ask, words",
    [
        (lambda code: code.net("14"), "did you mean"),
        (lambda code: code.notes("145-2011"), "did you mean '145-2010'"),
        (lambda code: code.fact("minibach"), "did you mean 'minibatch'"),
        (lambda code: code.edit_all("145", "xyz", size=3), "begins with 'xyz'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(recorded, ask, words):
    with pytest.raises(KeyError, match=words):
        ask(recorded)


# Reading a folder ------------------------------------------------------------------------------------------------------


def folder(path: Path, layers: str = LAYERS, params: str | None = PARAMS, name: str = "145-half") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / f"layers-{name}.cfg").write_text(layers)
    if params is not None:
        (path / f"layer-params-{name}.cfg").write_text(params + NOTED.partition("epsW=0.1\n")[2])
    return path


@pytest.mark.parametrize("inside", ["", "layers"])
def test_a_folder_or_a_clone_is_parsed_and_the_rest_recorded(tmp_path, recorded, inside):
    bigger = LAYERS.replace("filters=5\n", "filters=11\n")
    folder(tmp_path / inside, bigger)
    code = OriginalCode.read(tmp_path)
    assert code.parsed == {"145-half"}
    assert code.net("145-half").layer("local3").filters == 11
    assert code.notes("145-half").stated_parameters == 1234
    assert code.net("145") == recorded.net("145")


def test_a_folder_that_is_no_use_is_refused(tmp_path):
    with pytest.raises(BadConfig, match="found no folder"):
        OriginalCode.read(tmp_path / "none")
    with pytest.raises(BadConfig, match="none of the files"):
        OriginalCode.read(tmp_path)
    with pytest.raises(BadConfig, match=r"layer-params-145-half.cfg beside it"):
        OriginalCode.read(folder(tmp_path / "half", params=None))
    with pytest.raises(BadConfig, match=r"layers-145-half.cfg, line 15"):
        OriginalCode.read(folder(tmp_path / "bad", LAYERS.replace("filters=4\n", "filters=x\n")))
    path = folder(tmp_path / "bytes")
    (path / "layers-145-half.cfg").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConfig, match="not text"):
        OriginalCode.read(path)


def test_saving_loses_nothing():
    net, found = small(), notes.read("small", NOTED)
    assert saved.to_net("small", saved.from_net(net)) == net
    assert saved.to_notes("small", saved.from_notes(found)) == found


def test_recording_half_of_the_files_writes_nothing(tmp_path):
    with pytest.raises(SystemExit, match="nothing written"):
        record.document([folder(tmp_path)])


@real
def test_parsing_the_real_files_gives_what_was_recorded(recorded):
    for given in GIVEN:
        code = OriginalCode.read(given)
        assert code.parsed
        assert code == OriginalCode(recorded.nets, recorded.notes_by_name, recorded.facts, code.parsed)


@real
def test_recording_the_real_files_again_changes_nothing():
    parsed = frozenset().union(*(OriginalCode.read(given).parsed for given in GIVEN))
    if not {*NETS, *NOTES} <= parsed:
        pytest.skip("the folders lack some of the files")
    assert "\n".join(record.lines(record.document(GIVEN))) + "\n" == RECORDED.read_text(encoding="utf-8")
