"""Models in PyTorch as people write them: is every operation recorded, linked to the one before, and nothing left changed?"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_parity.impls.foreign import torch_poses as poses
from alexnet_parity.impls.foreign.graph import Graph, Operation, Refused
from alexnet_parity.impls.foreign.torch_models import exported, flattened, state, subject
from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.reference import mistaken, oracle, stimuli, variants
from alexnet_parity.reference.spec import Conv, Lrn, Network

THIN = variants.variant("paper-thin")
LARGE = stimuli.stimulus(THIN, "large", 0)


def batch(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def own_output(model: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        return [
            tensor.detach().float().numpy().copy() for tensor in flattened(model.eval()(torch.from_numpy(x.copy())))
        ]


def linked(graph: Graph) -> None:
    """Every input is a parameter, the input, a constant, or an earlier output; no output repeats; no attribute is missing."""
    known = {graph.input} | {name for name in graph.tensors if name.startswith("constant:")}
    names: set[str] = set()
    for operation in graph.operations:
        assert operation.name not in names
        names.add(operation.name)
        for tensor in operation.inputs:
            assert tensor.startswith("param:") or tensor in known, (operation, tensor)
        assert all(0 <= position < len(operation.inputs) for position in operation.roles.values())
        for tensor in operation.outputs:
            assert tensor not in known, operation
            known.add(tensor)
            assert tensor in graph.tensors
    assert set(graph.outputs) <= known


def recorded(model: nn.Module, x: np.ndarray) -> Graph:
    """The graph, after the key property: what the model gives on its own, bit for bit."""
    expected = own_output(model, x)
    graph = subject(model).record(x)
    linked(graph)
    assert len(graph.outputs) == len(expected)
    for name, value in zip(graph.outputs, expected, strict=True):
        np.testing.assert_array_equal(graph.tensors[name], value)
    return graph


def named(graph: Graph, kind: str) -> list[Operation]:
    return [operation for operation in graph.operations if operation.kind == kind]


def kinds(graph: Graph) -> list[str]:
    return [operation.kind for operation in graph.operations]


class Called(nn.Module):
    """A model whose forward is a function of the module and x."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], object], **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)
        self.what = forward

    def forward(self, x: Tensor) -> object:
        return self.what(self, x)


# Styles ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "style",
    [lambda n, p: poses.pose(n, {}, p), poses.two_towers, poses.functional],
    ids=["sequential", "towers", "functional"],
)
def test_an_alexnet_in_any_style_is_recorded_with_every_layers_output(style):
    model = style(THIN, LARGE.params)
    graph = recorded(model, LARGE.x)
    truth = oracle.forward(THIN, LARGE.params, LARGE.x, np.float32)
    for layer in ("norm1", "pool2", "pool5", "fc6", "fc8", "prob"):
        found = [v for v in graph.tensors.values() if v.shape == truth[layer].shape]
        scale = np.abs(truth[layer]).max()
        assert any(np.allclose(v, truth[layer], atol=1e-5 * scale) for v in found), layer


def test_a_sequential_alexnet_in_its_own_names_and_words():
    graph = recorded(poses.pose(THIN, {}, LARGE.params), LARGE.x)
    assert [o.name for o in graph.operations] == [layer.name for layer in THIN.layers]
    operations = {o.name: o for o in graph.operations}
    conv2 = operations["conv2"]
    assert (conv2.kind, conv2.inputs) == ("conv", ("pool1", "param:conv2.weight", "param:conv2.bias"))
    assert conv2.attributes["padding"] == ((2, 2), (2, 2))
    assert conv2.attributes["groups"] == 2
    assert conv2.roles == {"x": 0, "weight": 1, "bias": 2}
    norm = operations["norm1"]
    assert norm.call == "nn.LocalResponseNorm(size=5, alpha=0.0005, beta=0.75, k=2.0)"
    assert norm.attributes == {
        "before": 2,
        "after": 2,
        "k": 2.0,
        "alpha": pytest.approx(1e-4),
        "beta": 0.75,
        "layout": "NCHW",
    }
    assert operations["fc6"].attributes == {"weight_layout": "OI"}
    assert graph.idle == ()


def test_in_place_relu_leaves_what_came_before_as_it_was():
    graph = recorded(poses.functional(THIN, LARGE.params), LARGE.x)
    relu = next(o for o in graph.operations if o.kind == "activation")
    assert graph.tensors[relu.inputs[0]].min() < 0
    assert relu.call == "F.relu(inplace=True)"
    np.testing.assert_array_equal(graph.tensors[relu.outputs[0]], np.maximum(graph.tensors[relu.inputs[0]], 0))
    assert np.array_equal(graph.tensors["input"], LARGE.x)


def test_a_hand_written_lrn_is_a_chain_of_linked_operations():
    layer = Lrn("norm", n=5, k=2.0, alpha=1e-2, beta=0.75)
    x = batch(2, 7, 3, 4)
    graph = recorded(poses.AveragedResponseNorm(layer), x)
    assert graph.operations[-1].kind == "div"
    assert graph.operations[0].inputs == ("input",)
    np.testing.assert_allclose(graph.tensors[graph.outputs[0]], oracle.lrn(x, layer), rtol=1e-5)


def test_two_towers_meet_in_concatenations():
    graph = recorded(poses.two_towers(THIN, LARGE.params), LARGE.x)
    assert [o.attributes["axis"] for o in named(graph, "concat")] == [1, 1, 1]
    assert [o.name for o in named(graph, "conv")][:2] == ["conv1_a", "conv1_b"]
    split = next(o for o in graph.operations if o.kind == "split")
    assert len(split.outputs) == 2


# Outputs, sharing, idleness -------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Answer:
    logits: Tensor
    features: list[Tensor]


@pytest.mark.parametrize(
    "pack",
    [lambda a, b: (a, b), lambda a, b: [a, [b]], lambda a, b: {"a": a, "b": (b, None)}, lambda a, b: Answer(a, [b])],
)
def test_outputs_of_any_structure_are_taken_apart_in_order(pack):
    model = Called(lambda m, x: pack(m.fc(x), m.fc(x).tanh()), fc=nn.Linear(3, 5))
    graph = recorded(model, batch(2, 3))
    assert len(graph.outputs) == 2
    assert [o.name for o in graph.operations] == ["fc", "fc_2", "tanh"]


def test_a_model_without_a_tensor_to_give_is_refused():
    with pytest.raises(Refused, match="str without a tensor"):
        subject(Called(lambda m, x: "nothing")).record(batch(2, 3))


def test_shared_modules_and_parameters_appear_once():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 4))
    model[3].weight = shared.weight
    found = subject(model)
    assert set(found.parameters) == {"0.weight", "0.bias", "3.bias"}
    graph = recorded(model, batch(2, 4))
    assert [o.name for o in graph.operations] == ["0", "1", "0_2", "3"]
    assert graph.operations[3].inputs[1:] == ("param:0.weight", "param:3.bias")


def test_modules_that_never_run_are_named():
    children = {"fc": nn.Linear(3, 2), "aux": nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "used": nn.Linear(3, 2)}
    model = Called(lambda m, x: m.fc(x) + F.linear(x, m.used.weight), **children)
    assert recorded(model, batch(2, 3)).idle == ("aux.0", "aux.1")


def test_modules_in_plain_lists_are_found():
    model = Called(lambda m, x: m.layers[0](x) * m.extra["scale"])
    model.layers, model.extra = [nn.Linear(3, 2)], {"scale": torch.tensor([2.0, 3.0])}
    found = subject(model)
    assert set(found.parameters) == {"layers.0.weight", "layers.0.bias", "extra.scale"}
    assert found.frozen == ("extra.scale",)
    graph = recorded(model, batch(2, 3))
    assert graph.operations[0].name == "layers.0"
    assert graph.operations[1].inputs == ("layers.0", "param:extra.scale")


def test_a_model_that_raises_raises_its_own_error_and_is_left_alone():
    model = Called(lambda m, x: m.fc(m.norm(x)), norm=nn.BatchNorm1d(3), fc=nn.Linear(4, 2))
    model.train()
    before = model.norm.running_mean.clone()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        subject(model).record(batch(2, 3), training=False)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        subject(model).record(batch(2, 3), training=True)
    assert model.training
    assert torch.equal(model.norm.running_mean, before)
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


# In place, through views ----------------------------------------------------------------------------------------------


def relu_through_view(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    F.relu_(y.view(y.size(0), -1))
    return y * 2


def zeroed_through_slice(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    y[:, 1].mul_(-3)
    y[:, 0] = 0
    y += 1
    return y.square()


def untouched_half(m: nn.Module, x: Tensor) -> Tensor:
    first, second = m.conv(x).chunk(2, dim=1)
    first.neg_()
    return torch.cat([second, first], 1)


def written_by_data(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    y.data.clamp_(min=0)
    return y + 1


def out_argument(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    torch.tanh(y, out=y)
    return y - 1


@pytest.mark.parametrize(
    "forward", [relu_through_view, zeroed_through_slice, untouched_half, written_by_data, out_argument]
)
def test_what_is_written_in_place_through_a_view_reaches_the_next_reader(forward):
    model = Called(forward, conv=nn.Conv2d(3, 4, 2))
    graph = recorded(model, batch(2, 3, 5, 6))
    above = {o: operation for operation in graph.operations for o in operation.outputs}
    ancestors, waiting = set(), list(graph.outputs)
    while waiting:
        operation = above.get(waiting.pop())
        if operation and operation.name not in ancestors:
            ancestors.add(operation.name)
            waiting += operation.inputs
    assert "conv" in ancestors
    writing = [
        o.name for o in graph.operations if o.name.startswith(("relu", "mul", "setitem", "add", "neg", "clamp", "tanh"))
    ]
    assert writing
    assert set(writing) <= ancestors  # nothing that was written is lost


def test_a_twice_used_tensor_keeps_both_contents():
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        y = m.fc(x)
        return torch.cat([y * 1, y.relu_(), y.abs()], 1)

    model = Called(forward, fc=nn.Linear(3, 4))
    graph = recorded(model, batch(2, 3))
    operations = {o.name: o for o in graph.operations}
    assert operations["mul"].inputs == ("fc",)
    assert operations["relu"].inputs == ("fc",)
    assert operations["abs"].inputs == ("relu",)


# Weights --------------------------------------------------------------------------------------------------------------


def test_weights_derived_in_forward_are_operations():
    model = Called(lambda m, x: x.flatten(1) @ (m.fc.weight * m.mask).t() + m.fc.bias, fc=nn.Linear(12, 5))
    model.register_buffer("mask", torch.ones(5, 12))
    graph = recorded(model, batch(2, 3, 4))
    assert kinds(graph) == ["reshape", "mul", "transpose", "dense", "add"]
    dense = named(graph, "dense")[0]
    assert dense.attributes == {"weight_layout": "IO"}
    assert graph.tensors[dense.inputs[dense.roles["weight"]]].shape == (12, 5)


def test_a_product_of_activations_is_no_dense_layer():
    model = Called(lambda m, x: m.fc(x) @ m.fc(x).relu().t(), fc=nn.Linear(3, 4))
    assert kinds(recorded(model, batch(2, 3)))[-1] == "other"


@pytest.mark.parametrize("trick", sorted(poses.KNOWN))
def test_every_trick_is_recorded(trick):
    layer = "conv4"
    model = poses.pose(THIN, {layer: (trick,)}, LARGE.params)
    plain = own_output(poses.pose(THIN, {}, LARGE.params), LARGE.x)[0]
    graph = recorded(model, LARGE.x)
    assert not np.array_equal(graph.tensors[graph.outputs[0]], plain)
    conv = next(o for o in named(graph, "conv") if o.name.startswith(layer))
    if trick not in {"no-bias", "double-bias", "float16", "bfloat16"}:
        assert conv.inputs[1] in graph.tensors  # not the parameter itself
    assert ("bias" in conv.roles) is (trick != "no-bias")


@pytest.mark.parametrize(("dtype", "array"), [(torch.float16, np.float16), (torch.bfloat16, np.float32)])
def test_half_precision_layers_keep_their_type(dtype, array):
    model = poses.pose(THIN, {"fc7": (str(dtype).removeprefix("torch."),)}, LARGE.params)
    graph = recorded(model, LARGE.x)
    dense = next(o for o in named(graph, "dense") if o.name.startswith("fc7"))
    assert graph.tensors[dense.outputs[0]].dtype == array
    assert graph.dtypes.get(dense.outputs[0]) == ("bfloat16" if dtype == torch.bfloat16 else None)


def test_autocast_is_seen():
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return m.fc(x).float()

    graph = recorded(Called(forward, fc=nn.Linear(3, 4)), batch(2, 3))
    assert graph.dtypes == {"fc": "bfloat16"}
    assert graph.tensors["input"].dtype == np.float32


def test_models_in_float64_stay_in_float64():
    graph = subject(nn.Linear(3, 4).double()).record(batch(2, 3))
    assert graph.tensors[graph.outputs[0]].dtype == np.float64


def test_parameters_written_in_forward_get_their_values_back():
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        m.fc.weight.data.mul_(0.5)
        return m.fc(x)

    model = Called(forward, fc=nn.Linear(3, 4))
    before = model.fc.weight.detach().clone()
    graph = subject(model).record(batch(2, 3))
    linked(graph)
    assert torch.equal(model.fc.weight, before)
    dense = named(graph, "dense")[0]
    np.testing.assert_array_equal(graph.tensors[dense.inputs[1]], before.numpy() / 2)


def test_load_and_value():
    model = nn.Sequential(nn.Conv2d(3, 4, (2, 5)), nn.BatchNorm2d(4))
    found = subject(model)
    assert found.parameters["0.weight"] == (4, 3, 2, 5)
    assert found.frozen == ("1.running_mean", "1.running_var")
    assert not any("num_batches" in name for name in found.parameters)
    values = {name: batch(*shape) for name, shape in found.parameters.items()}
    weight = model[0].weight
    found.load(values)
    assert model[0].weight is weight
    for name, value in values.items():
        np.testing.assert_array_equal(found.value(name), value)
    copy = found.value("0.bias")
    copy[:] = 9
    assert not np.array_equal(found.value("0.bias"), copy)
    with pytest.raises(ValueError, match=r"0\.bais"):
        found.load({"0.bais": copy})
    with pytest.raises(ValueError, match=r"found values of shape \(4, 1\), expected \(4,\)"):
        found.load({"0.weight": values["0.weight"] * 2, "0.bias": copy[:, None]})
    np.testing.assert_array_equal(found.value("0.weight"), values["0.weight"])  # all or nothing


# Training -------------------------------------------------------------------------------------------------------------


def test_training_shows_dropouts_input_and_output():
    model = poses.pose(THIN, {}, LARGE.params)
    found = subject(model)
    graph = found.record(LARGE.x, training=True)
    linked(graph)
    drop = next(o for o in graph.operations if o.name == "drop6")
    assert drop.attributes == {"rate": 0.5, "training": True}
    before, after = graph.tensors[drop.inputs[0]], graph.tensors[drop.outputs[0]]
    assert np.isin(after, [0]).any()
    np.testing.assert_array_equal(after[after != 0], 2 * before[after != 0])
    again = found.record(LARGE.x, training=True)
    assert not np.array_equal(again.tensors["drop6"], after)  # each run draws anew
    assert not model.training


def test_nothing_is_left_changed():
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(80, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    graph = subject(model).record(batch(2, 3, 5, 6), training=True)
    linked(graph)
    assert [o.name for o in graph.operations] == ["0", "1", "2", "3", "4"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert torch.is_grad_enabled()


# Kinds and attributes -------------------------------------------------------------------------------------------------


def attributes(model: nn.Module, x: np.ndarray) -> dict[str, object]:
    return dict(recorded(model, x).operations[-1].attributes)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_same_padding_puts_the_odd_pixel_after():
    x, model = batch(2, 3, 7, 9), nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2))
    rows, columns = attributes(model, x)["padding"]
    assert (rows, columns) == ((1, 2), (2, 2))
    padded = F.conv2d(F.pad(torch.from_numpy(x), (*columns, *rows)), model.weight, model.bias, dilation=(1, 2))
    np.testing.assert_allclose(own_output(model, x)[0], padded.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert attributes(nn.Conv2d(3, 4, 3, padding="valid"), batch(2, 3, 7, 9))["padding"] == ((0, 0), (0, 0))


def test_other_padding_modes_pad_first():
    graph = recorded(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")), batch(2, 3, 7, 9))
    assert [(o.name, o.kind) for o in graph.operations] == [("0/pad", "pad"), ("0", "conv")]
    assert graph.operations[1].attributes["padding"] == ((0, 0), (0, 0))


@pytest.mark.parametrize("size", [1, 4, 5])
def test_lrns_window_is_where_torch_has_it(size):
    x = batch(2, 9, 3, 4)
    graph = recorded(nn.LocalResponseNorm(size, alpha=0.3, beta=0.6, k=1.5), x)
    found = graph.operations[0].attributes
    layer = mistaken.WindowLrn("norm", **{name: found[name] for name in ("before", "after", "k", "alpha", "beta")})
    np.testing.assert_allclose(graph.tensors[graph.outputs[0]], layer.compute({}, x), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        (
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            "max_pool",
            {"stride": (2, 2), "padding": ((1, 1), (1, 1)), "ceil": True},
        ),
        (nn.MaxPool2d((3, 2), dilation=2), "max_pool", {"kernel": (3, 2), "stride": (3, 2), "dilation": (2, 2)}),
        (nn.AvgPool2d(2, count_include_pad=False), "avg_pool", {"stride": (2, 2), "count_include_pad": False}),
        (nn.AdaptiveAvgPool2d((2, None)), "adaptive_avg_pool", {"size": (2, 9)}),
        (nn.AdaptiveMaxPool2d(3), "adaptive_max_pool", {"size": (3, 3)}),
        (nn.LeakyReLU(0.2), "activation", {"function": "leaky_relu", "slope": 0.2}),
        (nn.GELU(approximate="tanh"), "activation", {"function": "gelu_tanh"}),
        (nn.Hardtanh(0, 6), "activation", {"function": "relu6"}),
        (nn.Dropout2d(0.3), "dropout", {"rate": 0.3, "training": False, "maps": True}),
        (nn.Softmax(dim=-1), "softmax", {"axis": 3}),
        (nn.Flatten(), "reshape", {}),
        (Called(lambda m, x: x.clamp(min=0)), "activation", {"function": "relu"}),
        (Called(lambda m, x: x.clamp(min=0, max=1)), "other", {}),
        (Called(lambda m, x: x.permute(0, 2, 3, 1)), "transpose", {"perm": (0, 2, 3, 1)}),
        (Called(lambda m, x: x.mT), "transpose", {"perm": (0, 1, 3, 2)}),
        (Called(lambda m, x: x.flip([1, -1])), "flip", {"axes": (1, 3)}),
        (Called(lambda m, x: x.to(torch.float32)), "identity", {}),
        (Called(lambda m, x: x.contiguous()), "identity", {}),
        (Called(lambda m, x: x.half()), "cast", {}),
        (Called(lambda m, x: x[:, :, 1:]), "slice", {}),
        (Called(lambda m, x: x.split((1, 2), 1)), "split", {"axis": 1}),
        (Called(lambda m, x: torch.nn.functional.avg_pool2d(x, 2, divisor_override=1)), "other", {}),
        (Called(lambda m, x: torch.add(x, x, alpha=2)), "other", {}),
    ],
)
def test_kinds_and_attributes(model, kind, expected):
    operation = recorded(model, batch(2, 3, 7, 9)).operations[-1]
    assert operation.kind == kind
    assert {name: operation.attributes[name] for name in expected} == expected


def test_shapes_are_no_operations():
    model = Called(
        lambda m, x: x.reshape(x.size(0), x.shape[1] * x.numel() // x.size(0) // x.shape[1], *[1][: x.dim() - 4])
    )
    assert kinds(recorded(model, batch(2, 3, 4, 5))) == ["reshape"]


def test_constants_made_in_forward_have_ids():
    mean = torch.tensor([1.0, 2.0, 3.0])
    model = Called(lambda m, x: (2 - (x - mean)) / torch.full((3,), 4.0))
    graph = recorded(model, batch(2, 3))
    assert kinds(graph) == ["sub", "sub", "other", "div"]
    np.testing.assert_array_equal(graph.tensors[graph.operations[0].inputs[1]], mean.numpy())


# Other kinds of target ------------------------------------------------------------------------------------------------


def test_a_function_of_params_and_x():
    def network(params, x):
        x = F.relu(F.conv2d(x, params["conv"]["kernel"], params["conv"]["b"], stride=2), inplace=True)
        return {"out": x.flatten(1) @ params["dense"][0]}

    params = {"conv": {"kernel": torch.randn(4, 3, 2, 3), "b": torch.zeros(4)}, "dense": [torch.randn(24, 5)]}
    found = subject((network, params))
    assert found.parameters == {"conv.kernel": (4, 3, 2, 3), "conv.b": (4,), "dense.0": (24, 5)}
    graph = found.record(batch(2, 3, 4, 7))
    linked(graph)
    assert kinds(graph) == ["conv", "activation", "reshape", "dense"]
    assert graph.operations[3].inputs == ("flatten", "param:dense.0")
    with pytest.raises(Refused, match="no torch tensor"):
        subject((network, {}))


def test_dataparallel_is_looked_through():
    model = nn.DataParallel(nn.Sequential(nn.Linear(3, 4), nn.DataParallel(nn.ReLU())))
    found = subject(model)
    assert set(found.parameters) == {"0.weight", "0.bias"}
    assert [o.kind for o in found.record(batch(2, 3)).operations] == ["dense", "activation"]


def test_graph_modules():
    model = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU(inplace=True), nn.Flatten()))
    assert kinds(recorded(model, batch(2, 3, 4, 5))) == ["conv", "activation", "reshape"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_script_modules_are_seen_through():
    layers = (nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 5))
    model = nn.Sequential(nn.Identity(), torch.jit.script(nn.Sequential(*layers)), nn.Tanh())
    x = batch(2, 3, 4, 5)
    graph = recorded(model, x)
    expected = ["conv", "batch_norm", "activation", "reshape", "transpose", "dense", "activation"]
    assert [o.kind for o in graph.operations if o.inputs] == expected
    assert graph.operations[0].inputs == ("input", "param:1.0.weight", "param:1.0.bias")
    assert graph.operations[0].name == "1/convolution"
    relu = named(graph, "activation")[0]
    assert graph.tensors[relu.inputs[0]].min() < 0
    assert graph.idle == ()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    linked(subject(model).record(x, training=True))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_alexnet_is_seen_through():
    model = torch.jit.trace(poses.functional(THIN, LARGE.params), torch.from_numpy(LARGE.x))
    graph = recorded(model, LARGE.x)
    assert [len(named(graph, kind)) for kind in ("conv", "dense", "max_pool", "softmax")] == [5, 3, 3, 1]


def test_what_numpy_computes_stays_linked():
    model = Called(lambda m, x: torch.from_numpy(m.fc(x).numpy() * 2) + 1, fc=nn.Linear(3, 4))
    graph = recorded(model, batch(2, 3))
    assert [(o.name, o.inputs) for o in graph.operations[1:]] == [("outside", ("fc",)), ("add", ("outside",))]


def test_vmap_is_recorded_for_the_whole_batch():
    def network(params, x):
        return torch.vmap(lambda item: torch.tanh(params["w"] @ item))(x)

    graph = subject((network, {"w": torch.randn(4, 3)})).record(batch(5, 3))
    linked(graph)
    assert graph.operations[0].inputs == ("param:w", "input")
    assert [o.name for o in graph.operations] == ["matmul", "tanh"]
    assert graph.tensors["tanh"].shape == (5, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_modules_run_uncompiled():
    pytest.importorskip("torch._dynamo")
    model = nn.Sequential(torch.compile(nn.Linear(3, 4)), nn.ReLU())
    graph = subject(model).record(batch(2, 3))
    linked(graph)
    assert kinds(graph) == ["dense", "activation"]


def test_lazy_modules_need_a_shape():
    model = nn.Sequential(nn.LazyConv2d(4, 2), nn.Flatten(), nn.LazyLinear(5))
    with pytest.raises(Refused, match=r"0\.weight has no shape yet"):
        subject(model)
    assert subject(model, (3, 4, 6)).parameters["2.weight"] == (5, 60)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (nn.Linear(3, 4, dtype=torch.complex64), "complex"),
        (nn.Linear(3, 4, device="meta"), "meta device"),
        (17, "found int"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_line(target, message):
    with pytest.raises(Refused, match=message) as refusal:
        subject(target)
    assert "\n" not in str(refusal.value)


# Files ----------------------------------------------------------------------------------------------------------------


class Exportable(nn.Module):
    """Two convolutions apart in size, batch norm, ReLU in place, and sizes that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (3, 2), groups=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(120, 7)
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x)), inplace=True), (2, 1), stride=(2, 1))
        first, second = x.split(2, dim=1)
        x = torch.cat([second, first], dim=1).view(x.size(0), -1)
        return self.drop(self.fc(x)), x


def save(path: Path, **options: object) -> nn.Module:
    torch.manual_seed(3)
    model = Exportable().eval()
    torch.export.save(torch.export.export(model, (torch.from_numpy(batch(2, 3, 12, 7)),), **options), path)
    return model


@pytest.fixture(scope="module")
def pt2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    path = tmp_path_factory.mktemp("pt2") / "model.pt2"
    return path, save(path)


def test_an_exported_program_comes_back_as_it_was(pt2):
    path, model = pt2
    found = exported(path)
    assert (found.input_shape, found.batch, found.trains) == ((3, 12, 7), 2, False)
    assert found.frozen == ("norm.running_mean", "norm.running_var")
    np.testing.assert_array_equal(found.value("conv.weight"), model.conv.weight.detach().numpy())
    graph = found.record(batch(2, 3, 12, 7))
    linked(graph)
    for name, value in zip(graph.outputs, own_output(model, batch(2, 3, 12, 7)), strict=True):
        np.testing.assert_array_equal(graph.tensors[name], value)
    conv = graph.operations[0]
    assert (conv.kind, conv.inputs) == ("conv", ("input", "param:conv.weight", "param:conv.bias"))
    assert [o.kind for o in graph.operations[1:4]] == ["batch_norm", "activation", "max_pool"]
    assert [o.name for o in graph.operations[:3]] == ["conv", "norm", "relu"]
    found.load({"fc.bias": np.arange(7, dtype=np.float32)})
    np.testing.assert_array_equal(found.value("fc.bias"), np.arange(7))


def test_an_exported_program_with_a_free_batch_size(tmp_path):
    model = save(tmp_path / "free.pt2", dynamic_shapes=({0: torch.export.Dim("n", min=1, max=64)},))
    found = exported(tmp_path / "free.pt2")
    assert (found.input_shape, found.batch) == ((3, 12, 7), None)
    x = batch(5, 3, 12, 7)
    graph = found.record(x)
    linked(graph)
    np.testing.assert_array_equal(graph.tensors[graph.outputs[0]], own_output(model, x)[0])


def rewritten(path: Path, to: Path, change: Callable[[str, bytes], bytes | None], **more: bytes) -> Path:
    """The archive with its members changed (None leaves one out)."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for info in old.infolist():
            if (content := change(info.filename, old.read(info))) is not None:
                new.writestr(info.filename, content)
        for name, content in more.items():
            new.writestr(name, content)
    return to


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-opened"),))


def test_sample_inputs_are_never_unpickled(pt2, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = rewritten(
        pt2[0], tmp_path / "bad.pt2", lambda name, old: pickle.dumps(Bomb()) if "sample_inputs" in name else old
    )
    exported(bad)
    assert not Path("pickle-was-opened").exists()


def edited(name: str, change: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:
    def apply(member: str, old: bytes) -> bytes:
        if not member.endswith(name):
            return old
        content = json.loads(old)
        change(content)
        return json.dumps(content).encode()

    return apply


def first_weight(content: dict) -> dict:
    return next(iter(content["config"].values()))


def first_node(content: dict) -> dict:
    return content["graph_module"]["graph"]["nodes"][0]


WEIGHTS, MODEL = "model_weights_config.json", "models/model.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited(WEIGHTS, lambda c: first_weight(c).update(use_pickle=True)), "is a pickle"),
        (edited(WEIGHTS, lambda c: first_weight(c)["tensor_meta"].update(sizes=[{"as_int": 10**9}] * 4)), "said to be"),
        (edited(WEIGHTS, lambda c: first_weight(c)["tensor_meta"].update(storage_offset={"as_int": 99})), "said to be"),
        (edited(WEIGHTS, lambda c: first_weight(c)["tensor_meta"].update(strides=[{"as_int": -1}] * 4)), "said to be"),
        (edited(WEIGHTS, lambda c: first_weight(c)["tensor_meta"].update(dtype=9)), "scalar type 9"),
        (edited(WEIGHTS, lambda c: first_weight(c).update(path_name="../../etc")), "not a well-formed"),
        (edited(WEIGHTS, lambda c: c["config"].pop("conv.weight")), "has no values for"),
        (edited(MODEL, lambda c: first_node(c).update(target="os.system")), "os.system"),
        (edited(MODEL, lambda c: first_node(c).update(target="torch.ops.aten.from_file.default")), "from_file"),
        (edited(MODEL, lambda c: first_node(c).update(target="torch.ops.aten.nothing.default")), "does not have"),
        (edited(MODEL, lambda c: c.pop("graph_module")), "not a well-formed"),
        (lambda name, old: b"{" if name.endswith(MODEL) else old, "not a well-formed"),
        (lambda name, old: None if name.endswith(MODEL) else old, "found 0 programs"),
        (lambda name, old: None if name.endswith(WEIGHTS) else old, "has no data/weights"),
    ],
)
def test_a_malformed_program_is_refused_in_one_line(pt2, tmp_path, change, message):
    bad = rewritten(pt2[0], tmp_path / "bad.pt2", change)
    with pytest.raises(Refused, match=message) as refusal:
        exported(bad)
    assert "\n" not in str(refusal.value)


def test_nodes_that_do_not_fit_together_are_refused_in_one_line(pt2, tmp_path):
    bad = rewritten(pt2[0], tmp_path / "bad.pt2", edited(MODEL, lambda c: first_node(c).update(outputs=[])))
    with pytest.raises(Refused, match=r"at torch\.ops\.aten\.conv2d\.default") as refusal:
        exported(bad).record(batch(2, 3, 12, 7))
    assert "\n" not in str(refusal.value)


def test_archives_that_torch_did_not_write_are_refused(pt2, tmp_path):
    whole = pt2[0].read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], pickle.dumps(Bomb())):
        (tmp_path / "bad.pt2").write_bytes(content)
        with pytest.raises(Refused, match="no readable zip archive"):
            exported(tmp_path / "bad.pt2")
    with pytest.raises(Refused, match="no readable zip archive"):
        exported(tmp_path / "missing.pt2")
    with zipfile.ZipFile(tmp_path / "small.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/models/model.json", b" " * 10**6)
    with pytest.raises(Refused, match="is compressed"):
        exported(tmp_path / "small.pt2")
    native = rewritten(
        pt2[0], tmp_path / "native.pt2", lambda _, old: old, **{"model/data/aotinductor/m/a.so": b"code"}
    )
    with pytest.raises(Refused, match="compiled code"):
        exported(native)


@pytest.mark.parametrize("legacy", [False, True])
def test_state_dicts_are_read_by_name(tmp_path, legacy):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).half()
    content = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    found = state(tmp_path / "w.pth")
    assert set(found) == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    assert all(value.dtype == np.float32 for value in found.values())
    np.testing.assert_array_equal(found["0.weight"], model[0].weight.detach().float().numpy())


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


WHOLE = saved({"w": torch.ones(300)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a state dict"),
        (b"nonsense", "not a state dict"),
        (WHOLE[: len(WHOLE) // 2], "not a state dict"),
        (saved(nn.Linear(2, 3)), "not a state dict"),
        (saved([torch.ones(2)]), "found list"),
        (saved({}), "found dict"),
        (saved({"weight": torch.ones(2), "note": "hello"}), "'note'"),
        (saved({"weight": torch.ones(1).expand(10**7)}), "more than is stored"),
        (pickle.dumps(Bomb()), "not a state dict"),
        (saved(Bomb(), _use_new_zipfile_serialization=False), "not a state dict"),
    ],
)
def test_a_malformed_state_dict_is_refused_in_one_line(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    Path("bad.pth").write_bytes(content)
    with pytest.raises(Refused, match=message) as refusal:
        state(Path("bad.pth"))
    assert "\n" not in str(refusal.value)
    assert not Path("pickle-was-opened").exists()
    with pytest.raises(Refused, match="no such file"):
        state(Path("missing.pth"))


def test_a_legacy_file_that_claims_more_than_it_has_is_refused(tmp_path):
    whole = saved({"w": torch.ones(77777)}, _use_new_zipfile_serialization=False)
    (tmp_path / "bad.pth").write_bytes(whole[:2000])
    with pytest.raises(Refused, match="claims more numbers"):
        state(tmp_path / "bad.pth")


# Poses ----------------------------------------------------------------------------------------------------------------


def single(layer: object, shape: tuple[int, ...] = (6, 7, 9)) -> Network:
    return Network("one", shape, (layer,))


COMPUTED = [
    *(mistaken.Activation("act", function=name, slope=0.3) for name in mistaken.FUNCTIONS),
    mistaken.WindowLrn("norm", 2, 1, alpha=0.1),
    mistaken.WindowLrn("norm", 1, 2, alpha=0.1),
    mistaken.WindowLrn("norm", 2, 2, alpha=0.1, mean=True),
    mistaken.WindowLrn("norm", 2, 2, alpha=0.1, plain=True),
    mistaken.WindowLrn("norm", 0, 2, alpha=0.1, inverted=True),
    mistaken.ChannelNorm("norm"),
    mistaken.AdaptivePool("pool", size=4),
    mistaken.AdaptivePool("pool", size=5, average=False),
    mistaken.PaddedMean("pool"),
    mistaken.Affine("scale", (0.5,), (1.0,)),
    mistaken.Affine("scale", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (0.5,)),
    *(mistaken.Reordered("order", order=name) for name in mistaken.ORDERS),
    mistaken.LogSoftmax("prob"),
    mistaken.SoftmaxOver("prob", axis=0),
    mistaken.RandomDropout("drop", factor=0.5),
    mistaken.Dilated("conv", 4, 3, 2, (1, 2), groups=2),
    mistaken.BorderedConv("conv", 4, 3, border=((0, 1), (2, 3))),
    mistaken.BorderedConv("conv", 4, 3, border=((1, 1), (2, 2))),
    mistaken.BorderedPool("pool", 3, 2, border=((0, 1), (2, 1))),
]


@pytest.mark.parametrize(
    "layer", COMPUTED, ids=lambda layer: f"{layer.kind}-{getattr(layer, 'function', '')}{layer.name}"
)
def test_poses_compute_what_their_layers_mean(layer):
    network = single(layer)
    params = {name: batch(*shape) for name, shape in network.param_shapes().items()}
    x = batch(2, 6, 7, 9)
    graph = recorded(poses.pose(network, {}, params), x)
    expected = oracle.apply(layer, params, x.astype(np.float64))
    np.testing.assert_allclose(graph.tensors[graph.outputs[0]], expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("trick", "edit"),
    [
        ("flip", lambda w: w[:, :, ::-1, ::-1]),
        ("transpose", lambda w: w.swapaxes(2, 3)),
        ("bgr", lambda w: w[:, ::-1]),
        ("swap-halves", lambda w: np.roll(w, len(w) // 2, axis=0)),
        ("weights-float16", lambda w: w.astype(np.float16).astype(np.float32)),
    ],
)
def test_tricks_on_weights_do_what_they_say(trick, edit):
    network = single(Conv("conv", 4, 3, groups=2))
    params = {name: batch(*shape) for name, shape in network.param_shapes().items()}
    x = batch(2, 6, 7, 9)
    edited = params | {"conv.weight": np.ascontiguousarray(edit(params["conv.weight"]))}
    (found,) = own_output(poses.pose(network, {"conv": (trick,)}, params), x)
    (expected,) = own_output(poses.pose(network, {}, edited), x)
    np.testing.assert_array_equal(found, expected)


def test_tf32_keeps_ten_bits_and_rounds_to_even():
    values = torch.tensor([1.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, -(1 + 2**-10)])
    assert poses.tf32(values).tolist() == [1.0, 1.0, 1 + 2**-9, 1 + 2**-10, -(1 + 2**-10)]


def test_random_dropout_does_what_it_says():
    network = single(mistaken.RandomDropout("drop", 0.25, always=True, scaled=False, maps=True))
    x = np.ones((2, 6, 7, 9), dtype=np.float32)
    graph = subject(poses.pose(network, {}, {})).record(x)
    linked(graph)
    maps = graph.tensors[graph.outputs[0]].reshape(12, -1)
    assert (maps == maps[:, :1]).all()
    assert set(maps[:, 0]) == {0.0, 1.0}


@pytest.mark.parametrize(("layer", "tricks"), [("pool1", ("flip",)), ("fc6", ("bgr",)), ("conv1", ("backwards",))])
def test_tricks_that_do_not_apply_are_unsupported(layer, tricks):
    with pytest.raises(Unsupported, match=layer):
        poses.pose(THIN, {layer: tricks}, LARGE.params)
