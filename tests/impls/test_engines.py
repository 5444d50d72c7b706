"""Engines that read a file: what the ONNX export says, faults planted in it, and where an engine parts from the formula."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module, util
from typing import Any

import numpy as np
import pytest
from harness import bad, verified

from alexnet_parity.checks import bounds
from alexnet_parity.impls import find
from alexnet_parity.impls.interface import Unavailable, Unsupported
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.mistaken import Activation
from alexnet_parity.reference.spec import Lrn, Network

onnx = pytest.importorskip("onnx")

from alexnet_parity.impls.formats import onnx as exported  # noqa: E402 - needs onnx

ENGINES = [name for name in ("onnxruntime", "openvino") if util.find_spec(name)]
THIN = [name for name in variants.names() if name.endswith("-thin")]
PAPER = variants.variant("paper-thin")

each_engine = pytest.mark.parametrize("engine", ENGINES)


def loaded(name: str) -> Any:
    return find.load(find.find(name))


def written(network: Network = PAPER) -> tuple[Any, dict[str, np.ndarray]]:
    params = stimuli.large(network, 3)
    return exported.export(network, params), params


def shape_of(value: Any) -> list[Any]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def node(model: Any, name: str) -> Any:
    return next(node for node in model.graph.node if node.name == name)


def attributes(model: Any, name: str) -> dict[str, Any]:
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node(model, name).attribute}


# The file -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", THIN)
def test_the_file_says_what_the_spec_says(variant):
    network = variants.variant(variant)
    model, params = written(network)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", exported.OPSET)]
    assert model.ir_version == exported.IR
    (images,) = model.graph.input
    assert (images.name, shape_of(images)) == ("images", ["N", *network.input_shape])
    assert [value.name for value in model.graph.output] == network.names()
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {name for name in stored if "/" not in name} == set(params)
    assert all(
        np.array_equal(stored[name], value) and stored[name].dtype == np.float32 for name, value in params.items()
    )


@pytest.mark.parametrize("variant", THIN)
def test_onnx_infers_the_shapes_of_the_spec_from_the_operations_alone(variant):
    network = variants.variant(variant)
    model, _ = written(network)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph.output
    assert {value.name: shape_of(value)[1:] for value in found} == {n: list(s) for n, s in network.shapes().items()}


def test_its_constants_by_hand():
    """The paper's: n = 5, alpha = 1e-4 undivided, which ONNX divides by 5; beta, k; two groups; zeros of 2 on every side."""
    model, _ = written()
    assert attributes(model, "norm1") == pytest.approx({"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}, rel=1e-7)
    conv2 = attributes(model, "conv2")
    assert (conv2["group"], conv2["pads"], conv2["strides"], conv2["kernel_shape"]) == (2, [2] * 4, [1, 1], [5, 5])
    assert attributes(model, "conv1")["strides"] == [4, 4]
    assert attributes(model, "fc6")["transB"] == 1


def test_an_alpha_of_nothing_adds_nothing():
    """The LRN of exact networks is x / 1: to the bit, with sums of squares as large as float32's integers allow."""
    largest = np.float32(2.0**48 * 5)
    assert np.float32(1) + np.float32(exported.NOTHING) * largest == 1
    model, _ = written(stimuli.exactly(PAPER))
    assert attributes(model, "norm1")["alpha"] == np.float32(exported.NOTHING)


def test_saved_and_read_back_bit_for_bit(tmp_path):
    _, params = written(variants.variant("cifar-11pct-thin"))
    exported.save(variants.variant("cifar-11pct-thin"), params, tmp_path / "net.onnx")
    read = exported.read_params(tmp_path / "net.onnx")
    assert list(read) == list(params)
    assert all(read[name].tobytes() == params[name].tobytes() for name in params)


def test_what_onnx_has_no_operation_for_is_declined():
    network = Network("odd", (3, 5, 7), (Activation("act", "silu"),))
    with pytest.raises(Unsupported, match="act: no activation layer in the ONNX export"):
        exported.export(network, {})


# The engines ----------------------------------------------------------------------------------------------------------


@each_engine
def test_a_layer_that_cannot_be_written_is_unsupported_in_one_line(engine):
    network = PAPER.swap("relu1", Activation("relu1", "silu"))
    with pytest.raises(Unsupported) as raised:
        loaded(engine).build(network, stimuli.large(network, 0))
    assert "\n" not in str(raised.value)


def test_openvino_sends_nothing_and_starts_no_process():
    """Its import would, from a process that it forks."""
    pytest.importorskip("openvino")
    watched = (
        "import os; os.register_at_fork(before=lambda: print('FORKED', flush=True)); {}; import time; time.sleep(0.5)"
    )
    line = "from alexnet_parity.impls import find; find.load(find.find('openvino'))"
    done = subprocess.run([sys.executable, "-c", watched.format(line)], capture_output=True, text=True, check=True)
    assert "FORKED" not in done.stdout


def test_openvino_knows_no_cuda_device():
    pytest.importorskip("openvino")
    with pytest.raises(Unavailable, match="run with --device cpu"):
        loaded("openvino").build(PAPER, stimuli.large(PAPER, 0), device="cuda")


def test_flags_say_what_was_asked_for():
    if "openvino" in ENGINES:
        flags = loaded("openvino").build(PAPER, stimuli.large(PAPER, 0)).flags()
        assert (flags["precision"], flags["tf32"]) == ("float32", "False")
    for name, level in (("onnxruntime", "ORT_DISABLE_ALL"), ("onnxruntime@optimised", "ORT_ENABLE_ALL")):
        if "onnxruntime" in ENGINES:
            assert loaded(name).build(PAPER, stimuli.large(PAPER, 0)).flags()["optimisations"] == level


def test_optimised_is_within_the_same_bounds():
    pytest.importorskip("onnxruntime")
    assert not bad(
        verified(loaded("onnxruntime@optimised"), "paper-thin", ("exact-chain", "exact-local", "local", "chain"))
    )


def test_openvinos_own_precision_is_seen_where_it_is_bfloat16():
    pytest.importorskip("openvino")
    module = loaded("openvino@default-precision")
    found = bad(verified(module, "paper-thin", ("exact-dense", "local-large")))
    flags = module.build(PAPER, stimuli.large(PAPER, 0)).flags()
    if flags["precision"] != "bfloat16":
        assert not found
        return
    layers = {finding.layer for finding in found if "[bfloat16]" in finding.hint}
    assert {f"conv{number}" for number in range(1, 6)} <= layers


# Faults planted in the file -------------------------------------------------------------------------------------------


def alpha_as_printed(model: Any) -> None:
    """The paper's alpha where ONNX divides it by 5."""
    for entry in node(model, "norm2").attribute:
        if entry.name == "alpha" and entry.f > exported.NOTHING:
            entry.f /= 5


def before(model: Any, name: str, place: int, kind: str, inputs: list[str], outputs: list[str], **given: Any) -> None:
    """One more node, the first of whose outputs takes the place of a node's input."""
    at = next(number for number, found in enumerate(model.graph.node) if found.name == name)
    model.graph.node.insert(at, onnx.helper.make_node(kind, inputs, outputs, **given))
    node(model, name).input[place] = outputs[0]


def groups_swapped(model: Any) -> None:
    before(model, "conv4", 1, "Concat", ["b", "a"], ["swapped"], axis=0)
    at = next(number for number, found in enumerate(model.graph.node) if found.output[0] == "swapped")
    model.graph.node.insert(at, onnx.helper.make_node("Split", ["conv4.weight"], ["a", "b"], axis=0, num_outputs=2))


def flattened_by_pixel(model: Any) -> None:
    before(model, "flatten", 0, "Transpose", ["pool5"], ["pixels"], perm=[0, 2, 3, 1])


def biases_left_out(model: Any) -> None:
    before(model, "conv3", 2, "Mul", ["conv3.bias", "zero"], ["nothing"])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0), "zero"))


def transposed_in_place(model: Any) -> None:
    """W^T poured into W's shape."""
    before(model, "fc7", 1, "Reshape", ["turned", "shape"], ["reshaped"])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([29, 37], np.int64), "shape"))
    at = next(number for number, found in enumerate(model.graph.node) if found.output[0] == "reshaped")
    model.graph.node.insert(at, onnx.helper.make_node("Transpose", ["fc7.weight"], ["turned"], perm=[1, 0]))


def rounded_to_half(model: Any) -> None:
    before(model, "fc6", 1, "Cast", ["narrow"], ["wide"], to=onnx.TensorProto.FLOAT)
    at = next(number for number, found in enumerate(model.graph.node) if found.output[0] == "wide")
    narrow = onnx.helper.make_node("Cast", ["fc6.weight"], ["narrow"], to=onnx.TensorProto.FLOAT16)
    model.graph.node.insert(at, narrow)


# the layer where it is found, the check that finds it, and the cause that is named ("": none has a name of its own)
FAULTS: dict[Callable[[Any], None], tuple[str, str, str]] = {
    alpha_as_printed: ("norm2", "local-large", "lrn-alpha-over-n"),
    groups_swapped: ("conv4", "exact-local", "towers-swapped"),
    flattened_by_pixel: ("flatten", "exact-local", ""),
    biases_left_out: ("conv3", "exact-local", "bias-missing"),
    transposed_in_place: ("fc7", "local-large", "dense-transposed"),
    rounded_to_half: ("fc6", "local-large", ""),
}


@each_engine
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_in_the_file_is_caught_at_its_layer(engine, fault, monkeypatch):
    module, (layer, check, cause) = loaded(engine), FAULTS[fault]

    def faulty(network: Network, params: Any) -> Any:
        model = exported.export(network, params)
        fault(model)
        return model

    monkeypatch.setattr(module, "export", faulty)
    wrong = bad(verified(module, "paper-thin", ("structure", "exact-chain", "exact-local", "local-large")))
    alone = [finding for finding in wrong if finding.check in ("exact-local", "local-large")]
    assert {finding.layer for finding in alone} == {layer}, [finding.line() for finding in wrong]
    assert check in {finding.check for finding in alone}
    assert not [finding for finding in wrong if finding.check == "structure-readback"]
    named = cause if engine != "onnxruntime" else cause.replace("lrn-alpha-over-n", "")  # its own sum hides the cause
    assert any(f"[{named}]" in finding.hint for finding in alone) or not named


# Response normalisation -----------------------------------------------------------------------------------------------


def bright_then_dark() -> tuple[Network, np.ndarray]:
    """Bright maps, then dark ones: what a sum that is carried along has lost is missing there."""
    layer = Lrn("norm", alpha=1e-2)
    x = np.random.default_rng(7).standard_normal((2, 13, 5, 3)).astype(np.float32)
    x[:, :3] *= 1000
    return Network("bright", x.shape[1:], (layer,)), x


def judged(module: Any, network: Network, x: np.ndarray, tolerance: Callable[[Any, Any, Any], Any]) -> np.ndarray:
    """Which outputs are within it."""
    (layer,) = network.layers
    got = dict(module.build(network, {}).activations(x))["norm"]
    want = oracle.apply(layer, {}, x.astype(np.float64))
    return np.abs(got - want) <= tolerance(layer, x.astype(np.float64), want)


def of_formula(layer: Any, x: Any, y: Any) -> Any:
    return bounds.local_tolerance(layer, {}, x, y)


@pytest.mark.parametrize("optimised", [False, True])
def test_onnxruntime_carries_its_sum_along_and_so_is_known(optimised):
    """What `checks/known.py` says of it is still so: over the formula's bound, within that of a running sum."""
    pytest.importorskip("onnxruntime")
    module = loaded("onnxruntime@optimised" if optimised else "onnxruntime")
    network, x = bright_then_dark()
    assert not judged(module, network, x, of_formula).all()
    assert judged(module, network, x, bounds.running_sum_tolerance).all()


@pytest.mark.parametrize("engine", ["openvino", "jax"])
def test_others_add_up_each_window_anew(engine):
    pytest.importorskip(engine)
    network, x = bright_then_dark()
    assert judged(loaded(engine), network, x, of_formula).all()


def test_onnxruntime_refuses_an_alpha_of_zero():
    """Why the export writes another number; where this fails, it need not any more."""
    runtime = pytest.importorskip("onnxruntime")
    model = exported.export(Network("one", (5, 3, 4), (Lrn("norm"),)), {})
    for entry in node(model, "norm").attribute:
        if entry.name == "alpha":
            entry.f = 0.0
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    with pytest.raises(Exception, match="alpha_ > 0"):
        runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


# JAX ------------------------------------------------------------------------------------------------------------------


def products(jaxpr: Any) -> list[Any]:
    """Every convolution and product of matrices, in inner functions as well."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            found.append(equation)
        inner = (getattr(value, "jaxpr", None) for value in equation.params.values())
        found += [one for body in inner if body is not None for one in products(body)]
    return found


def test_every_product_in_jax_asks_for_the_highest_precision():
    """Forward and backward, whatever the global default is: on an accelerator that would be TF32 or bfloat16."""
    jax = pytest.importorskip("jax")
    module = import_module("alexnet_parity.impls.jax")
    for variant in ("paper-thin", "cifar-11pct-thin", "original-no-communication-thin"):
        stimulus = stimuli.stimulus(variants.variant(variant), "large", 0)
        back = lambda params, x, labels, net=stimulus.network: module.way_back(net, params, x, None, labels, {})  # noqa: E731
        traced = jax.make_jaxpr(back)(stimulus.params, stimulus.x, stimulus.labels.astype(np.int32))
        found = products(traced.jaxpr)
        affine = len(stimulus.params) // 2
        assert len(found) >= 3 * affine  # there, and back to the input and to the weights
        assert all(equation.params["precision"] in (module.HIGHEST, (module.HIGHEST,) * 2) for equation in found)


def test_jax_is_left_in_float32():
    jax = pytest.importorskip("jax")
    model = loaded("jax").build(PAPER, stimuli.large(PAPER, 0))
    assert not jax.config.jax_enable_x64
    assert all(value.dtype == np.float32 for value in model.params().values())
    assert "compiler" not in model.flags()
    assert loaded("jax@jit").build(PAPER, stimuli.large(PAPER, 0)).flags()["compiler"] == "XLA"


def test_compiled_jax_is_within_the_same_bounds():
    pytest.importorskip("jax")
    checks = ("exact-chain", "local-large", "gradient-local-large")
    assert not bad(verified(loaded("jax@jit"), "paper-thin", checks))
