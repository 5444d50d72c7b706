"""From what a person writes to a subject; every refusal in one line that says what to do."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from alexnet_parity.impls import find, foreign
from alexnet_parity.impls.foreign import load as loading
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.foreign.target import Address, parse
from alexnet_parity.reference import draws
from alexnet_parity.reference.spec import Conv, Dense, Dropout, Flatten, Network, Relu, Softmax

# A framework that is not there: classes are told by their names.
FAKE = """
class Module:
    __module__ = "torch.nn.modules.module"

    def __init__(self, **options):
        self.options = options

class Layer:
    __module__ = "keras.src.layers.layer"

class Model(Layer):
    __module__ = "keras.src.models.model"

class Graph:
    __module__ = "tensorflow.python.framework.ops"

class Tensor:
    __module__ = "torch"
"""


@pytest.fixture
def adapters(monkeypatch):
    """Adapters that give what they were given."""

    def told(name):
        return lambda *given: (name, *given)

    def told_of_models(model, input_shape=None):
        """The image's size goes along only where it is asked for."""
        return ("torch_models.subject", model) if input_shape is None else ("torch_models.subject", model, input_shape)

    names = {
        "torch_models": ("subject", "exported"),
        "tf_models": ("subject", "saved"),
        "tf_frozen": ("frozen_graph",),
        "jax_models": ("subject",),
        "onnx_models": ("subject",),
    }
    for file, functions in names.items():
        stub = types.SimpleNamespace(**{function: told(f"{file}.{function}") for function in functions})
        monkeypatch.setitem(sys.modules, f"{foreign.__name__}.{file}", stub)
        monkeypatch.setattr(foreign, file, stub, raising=False)
    foreign.torch_models.subject = told_of_models
    monkeypatch.setattr(loading, "need", lambda package, what: None)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a Python file (the fake framework above it) and gives its path."""
    monkeypatch.chdir(tmp_path)

    def written(text, name="theirs.py", above=FAKE):
        (tmp_path / name).write_text(above + text)
        return name

    return written


def refused(target, weights="", match=""):
    with pytest.raises(Refused) as caught:
        loading.load(target, weights)
    message = str(caught.value)
    assert "\n" not in message
    assert match in message, message
    return message


# The target as written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target, address",
    [
        ("theirs.models:alexnet", Address("theirs.models", "alexnet")),
        ("theirs:models.alexnet", Address("theirs", "models.alexnet")),
        ("a/b.py:make(n=17)", Address("a/b.py", "make", {"n": 17})),
        ("a/b.py:make()", Address("a/b.py", "make", {})),
        ("a.py:make(name='a:b', sizes=(1, -2.5))", Address("a.py", "make", {"name": "a:b", "sizes": (1, -2.5)})),
        ("a.py", Address("a.py")),
        ("models/a.onnx", Address("models/a.onnx")),
        ("C:\\models\\a.py:make", Address("C:\\models\\a.py", "make")),
    ],
)
def test_a_target_is_taken_apart(target, address):
    assert parse(target) == address


@pytest.mark.parametrize(
    "call",
    [
        "(print())",
        "(n=open('x'))",
        "(17)",
        "(**{'n': 1})",
        "(n=)",
        "(n=1)(m=2)",
        "(n=[i for i in 'ab'])",
        "(n=1), f(m=2)",
    ],
)
def test_only_literal_arguments_are_read(write, call):
    path = write("def make(**given):\n    raise SystemExit('it ran')\n")
    refused(f"{path}:make{call}", match="arguments must be literal and by keyword")


@pytest.mark.parametrize("target", ["", "  ", "a.py:9x", "a.py:", "make(n=1)"])
def test_what_is_no_target(target):
    refused(target, match="expected package.module:factory")


def test_deeply_nested_arguments_are_refused():
    refused(f"a.py:f(n={'(' * 5000}1{',)' * 5000})", match="literal")


# Finding --------------------------------------------------------------------------------------------------------------


def test_factories_classes_instances_and_arguments(write, adapters):
    path = write(
        "class Net(Module): pass\n"
        "def make(width=1): return Net(width=width)\n"
        "ready = Net()\n"
        "class models:\n    alexnet = staticmethod(make)\n",
        "their_own.py",
    )
    for target, options in (
        (f"{path}:Net", {}),
        (f"{path}:Net(width=3)", {"width": 3}),
        (f"{path}:make", {"width": 1}),
        (f"{path}:make(width=5)", {"width": 5}),
        (f"{path}:ready", {}),
        (f"{path}:models.alexnet(width=7)", {"width": 7}),
        ("their_own:make(width=9)", {"width": 9}),
    ):
        name, model = loading.load(target)
        assert (name, model.options) == ("torch_models.subject", options), target


def test_nothing_there(write):
    write("class AlexNet(Module): pass\n")
    refused("thiers.py", match="did you mean 'theirs.py'?")
    refused("nowhere/thiers.py:f", match="no file 'nowhere/thiers.py'")
    refused("no_such_package_here:f", match="no implementation, module or file 'no_such_package_here'")
    refused("theirs.py:AlexNett", match="did you mean 'AlexNet'?")
    refused("theirs.py:AlexNet.modell", match="has no 'AlexNet.modell'")
    refused("json.decodr:f", match="no module 'json.decodr'; did you mean 'decoder'?")
    refused("absent.onnx", match="no file 'absent.onnx'")


@pytest.mark.parametrize(
    "name, match",
    [
        ("net.pt", "files hold weights and no operations"),
        ("net.h5", "as --weights"),
        ("net.bin", "'.bin' are not known"),
        ("folder", "a folder; save the model"),
        ("gone/net.tflite", "no such file here"),
    ],
)
def test_files_of_other_kinds(tmp_path, monkeypatch, name, match):
    monkeypatch.chdir(tmp_path)
    if name == "folder":
        (tmp_path / name).mkdir()
    elif "/" not in name:
        (tmp_path / name).write_bytes(b"")
    refused(name, match=match)


def test_imports_that_fail(write):
    refused(
        write("import no_such_package_at_all\n", "a.py"), match="a.py needs no_such_package_at_all, not installed here"
    )
    refused(write("x = 1 / 0\n", "b.py"), match="b.py: its import raised ZeroDivisionError: division by zero at b.py:")
    refused(write("def f(:\n", "c.py"), match="c.py: its import raised SyntaxError")
    refused(write("raise SystemExit(3)\n", "d.py"), match="d.py: its import raised SystemExit: 3")
    refused(write("from json import nothing\n", "e.py"), match="e.py: its import raised ImportError")


def test_a_missing_framework_names_its_extra(monkeypatch):
    targets = loading.targets
    error = ModuleNotFoundError("No module named 'jax'", name="jax.numpy")
    monkeypatch.setattr(targets.find, "lacks", lambda error: True)
    assert targets.absent("a.py", error) == "a.py needs jax, not installed here: pip install -e '.[jax]'"
    monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    with pytest.raises(Refused, match=r"net.onnx needs onnx, not installed here: pip install -e '\.\[onnx\]'"):
        targets.need("onnx", "net.onnx")


@pytest.mark.parametrize(
    "text, name",
    [
        ("class Other(Module): pass\n", "Other"),
        ("def alexnet(): return Module(made=1)\n", "alexnet"),
        ("class Lrn(Module): pass\nclass AlexNet(Module): pass\n", "AlexNet"),
        ("net = Module(made=1)\n", "net"),
    ],
)
def test_without_a_name_the_one_model_is_taken(write, adapters, text, name):
    _, model = loading.load(write(f"from types import SimpleNamespace\n{text}"))
    assert type(model).__name__ == name or model.options == {"made": 1}


def test_without_a_name_several_or_none_are_listed(write):
    message = refused(
        write("class A(Module): pass\nclass B(Module): pass\n", "a.py"), match="a.py has several models: A, B"
    )
    assert message.endswith("as in a.py:A")
    refused(write("def net(): pass\n", "b.py"), match="b.py has nothing that looks like a model; it has")
    refused(write("x = 1\n", "c.py", above=""), match="c.py has nothing that looks like a model; name its factory")


# Calling --------------------------------------------------------------------------------------------------------------


def test_arguments_are_checked_before_the_call(write):
    path = write("def make(classes, width, depth=3): pass\nclass Net(Module):\n    def __init__(self, width): pass\n")
    refused(
        f"{path}:make",
        match="make() needs classes and width; write them as literals: theirs.py:make(classes=..., width=...)",
    )
    refused(f"{path}:make(classes=1)", match="make() needs width;")
    refused(
        f"{path}:make(clases=1)", match="make() has no argument 'clases'; did you mean 'classes'? It has: classes width"
    )
    refused(f"{path}:Net", match="Net() needs width")


def test_a_factory_that_raises(write):
    path = write("def make():\n    raise ValueError('a\\n  b')\ndef leave():\n    import sys\n    sys.exit(4)\n")
    refused(f"{path}:make", match="theirs.py: make() raised ValueError: a b at theirs.py:")
    refused(f"{path}:leave", match="leave() raised SystemExit: 4")


def test_an_instance_takes_no_arguments(write):
    refused(f"{write('net = Module()')}:net(width=3)", match="net is a torch.nn.modules.module.Module already")


def test_the_function_in_the_place_of_its_factory(write):
    path = write("def forward(params, x): return x\n")
    refused(f"{path}:forward", match="is the model's function and not its factory; give a factory that takes nothing")


@pytest.mark.parametrize(
    "result, found",
    [
        ("None", "gives None"),
        ("17", "gives a int"),
        ("Module", "gives the class Module itself"),
        ("(Module(), 3)", "gives a tuple of (torch.nn.modules.module.Module, int)"),
        ("{'net': Module()}", "gives a dict"),
        ("type('M', (), {'__module__': 'flax.linen.module'})()", "return (model.apply, variables)"),
    ],
)
def test_a_result_that_is_no_model(write, result, found):
    message = refused(f"{write(f'def make(): return {result}')}:make", match=found)
    assert "expected a torch.nn.Module, a keras.Model" in message


# Which adapter --------------------------------------------------------------------------------------------------------


def test_each_kind_of_model_goes_to_its_adapter(write, adapters):
    path = write("net, model, graph = Module(), Model(), (Graph(), 'in', 'out')\n")
    assert loading.load(f"{path}:net")[0] == "torch_models.subject"
    assert loading.load(f"{path}:model", input_shape=(3, 8, 9))[::2] == ("tf_models.subject", (3, 8, 9))
    assert loading.load(f"{path}:graph")[0::2] == ("tf_frozen.frozen_graph", "in")


@pytest.mark.parametrize(
    "ending, adapter",
    [(".onnx", "onnx_models.subject"), (".keras", "tf_models.saved"), (".pt2", "torch_models.exported")],
)
def test_model_files_go_to_their_adapters(tmp_path, adapters, ending, adapter):
    path = tmp_path / f"net{ending}"
    path.write_bytes(b"")
    assert loading.load(str(path))[:2] == (adapter, path)
    refused(f"{path}:net", match="nothing can be named inside")


@pytest.mark.parametrize(
    "text, adapter",
    [
        ("def make(): return (lambda params, x: x), {'w': [Tensor()]}", "torch_models.subject"),
        ("import jax\ndef make(): return (lambda params, x: x), {'w': 1}", "jax_models.subject"),
        ("import torch\ndef make(): return (lambda params, x: torch), {'w': 1}", "torch_models.subject"),
        (
            "def make():\n    from jax import lax\n    def f(params, x): return lax.neg(x)\n    return f, {'w': 1}",
            "jax_models.subject",
        ),
        (
            "def make():\n    def f(params, x):\n        import jax\n        return x\n    return f, {}",
            "jax_models.subject",
        ),
        ("import tensorflow as tf\ndef make(): return (lambda params, x: x), {'w': 1}", "tf_models.subject"),
    ],
)
def test_functions_go_where_their_arrays_come_from(write, adapters, monkeypatch, text, adapter):
    for name in ("jax", "torch", "tensorflow"):
        module = types.ModuleType(name)
        module.lax = types.ModuleType("jax.lax")
        monkeypatch.setitem(sys.modules, name, module)
    found, (function, params), *_ = loading.load(f"{write(text, above=FAKE if 'Tensor' in text else '')}:make")
    assert found == adapter
    assert callable(function)
    assert isinstance(params, dict)


def test_a_numpy_function_cannot_be_recorded(write):
    path = write("import numpy as np\ndef make(): return (lambda params, x: x), {'w': np.ones(3)}\n", above="")
    refused(f"{path}:make", match="a function over NumPy arrays, whose inside cannot be recorded")


def test_what_a_target_seems_to_be_is_told_without_importing(write):
    path = write("import os\nfrom tensorflow import keras\nraise SystemExit\n")
    assert loading.framework_of(f"{path}:make") == "tensorflow"
    assert loading.framework_of("net.pt2") == "torch"
    assert loading.framework_of("keras") == "keras"
    assert loading.framework_of(write("x = 1\n", "plain.py")) == ""


def test_loading_imports_no_framework():
    script = f"import sys; import {loading.__name__}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "tensorflow", "keras", "jax", "onnx", "onnxruntime"}


# build(network, params) -----------------------------------------------------------------------------------------------

SMALL = Network(
    "small",
    (3, 9, 11),
    (Conv("conv1", 4, 3, 2), Relu("relu1"), Flatten("flat"), Dropout("drop1"), Dense("fc2", 7), Softmax("prob")),
)


def small_params():
    return {name: draws.normal(0, name, shape, 0.3) for name, shape in SMALL.param_shapes().items()}


def test_a_module_with_build_is_audited_by_its_net(write, adapters):
    write(
        "class Built:\n    def __init__(self, net): self.net = net\n"
        "def build(network, params): return Built(Module(network=network.name))\n",
        "whole.py",
    )
    _, model = loading.load("whole.py")
    assert model.options == {"network": "paper"}
    assert loading.load("whole.py:build")[1].options == {"network": "paper"}
    write("class Built: pass\ndef build(network, params): return Built()\n", "hidden.py")
    refused("hidden.py", match="builds a model without a `net`")
    write("def build(network, params): raise ValueError('no')\n", "broken.py")
    refused("broken.py", match="build() raised ValueError: no")


READ = ("torch", "keras", "keras_ops", "tf_nn")


@pytest.mark.parametrize("name", [name for name in find.runnable() if name in READ])
def test_ours_are_audited_as_if_they_were_foreign(name):
    subject = loading.ours(name, SMALL, small_params())
    sizes = sorted(int(np.prod(shape)) for shape in subject.parameters.values())
    assert sizes == sorted(value.size for value in small_params().values())
    graph = subject.record(draws.normal(0, "x", (2, 3, 9, 11), 1.0))
    probabilities = graph.tensors[graph.outputs[-1]]
    assert probabilities.shape == (2, 7)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in ("jax", "onnxruntime", "openvino") if name in find.runnable()])
def test_ours_that_cannot_be_recorded_inside_are_sent_to_verify(name):
    with pytest.raises(Refused, match="alexnet-parity verify"):
        loading.ours(name, SMALL, small_params())


def test_a_keras_model_on_another_backend_is_refused(monkeypatch):
    config = types.SimpleNamespace(backend=lambda: "jax")
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(config=config))
    with pytest.raises(
        Refused, match="a Keras model on jax; audits record Keras models on TensorFlow: set KERAS_BACKEND"
    ):
        loading.refuse_other_backends("mine.keras")
    monkeypatch.delitem(sys.modules, "keras")
    loading.refuse_other_backends("mine.keras")


def test_an_unknown_implementation_of_ours():
    with pytest.raises(Refused, match="no implementation, module or file 'torcch'; did you mean 'torch'"):
        loading.ours("torcch", SMALL, {})


# Weights --------------------------------------------------------------------------------------------------------------


class Held:
    """A subject that holds two arrays and a statistic."""

    frozen = ("norm.mean",)

    def __init__(self):
        self.parameters = {"conv1.weight": (2, 3), "conv1.bias": (2,), "norm.mean": (2,)}
        self.values = {}

    def load(self, values):
        for name, value in values.items():
            if value.shape != self.parameters[name]:
                raise ValueError(f"{name}: found values of shape {value.shape}, expected {self.parameters[name]}")
        self.values.update(values)


@pytest.fixture
def held(write, adapters, monkeypatch):
    """A target whose subject is a `Held`, which is returned along."""
    subject = Held()
    monkeypatch.setattr(foreign.torch_models, "subject", lambda model, input_shape: subject)
    return f"{write('net = Module()')}:net", subject


WEIGHT, BIAS = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(2, dtype=np.float32)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_put_in_by_name(held, tmp_path, prefix):
    target, subject = held
    names = {"conv1.weight": WEIGHT, "conv1.bias": BIAS, "norm.num_batches_tracked": np.int64(3)}
    np.savez(tmp_path / "w.npz", **{prefix + name: value for name, value in names.items()})
    assert loading.load(target, str(tmp_path / "w.npz")) is subject
    assert np.array_equal(subject.values["conv1.weight"], WEIGHT)
    assert list(subject.values) == ["conv1.weight", "conv1.bias"]


def test_safetensors_are_read(held, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    target, subject = held
    numpy.save_file({"conv1.weight": WEIGHT, "conv1.bias": BIAS}, tmp_path / "w.safetensors")
    loading.load(target, str(tmp_path / "w.safetensors"))
    assert np.array_equal(subject.values["conv1.bias"], BIAS)
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 40)
    refused(target, str(tmp_path / "w.safetensors"), match="no whole .safetensors file")


def test_weights_that_do_not_fit(held, tmp_path):
    target, _ = held
    path = str(tmp_path / "w.npz")
    np.savez(path, **{"conv1.weigth": WEIGHT})
    refused(target, path, match="no parameter 'conv1.weigth'; did you mean 'conv1.weight'?")
    np.savez(path, **{"conv1.weight": WEIGHT})
    refused(target, path, match="lacks conv1.bias; it has: conv1.weight")
    np.savez(path, **{"conv1.weight": WEIGHT.T, "conv1.bias": BIAS})
    refused(target, path, match="conv1.weight: found values of shape (3, 2), expected (2, 3)")


def test_weight_files_that_cannot_be_read(held, tmp_path):
    target, _ = held
    refused(target, str(tmp_path / "absent.npz"), match="no file")
    for name, match in (
        ("w.npz", "no whole .npz file"),
        ("w.bin", "'.bin' are not known; expected .npz"),
        ("w.weights.h5", "only Keras models in a Python file or module read .h5"),
    ):
        (tmp_path / name).write_bytes(b"junk")
        refused(target, str(tmp_path / name), match=match)
    np.savez(tmp_path / "o.npz", **{"conv1.weight": np.array([{}], dtype=object)})
    refused(target, str(tmp_path / "o.npz"), match="holds Python objects, which are not unpickled")
    np.savez(tmp_path / "c.npz", **{"conv1.weight": WEIGHT.astype(np.complex64)})
    refused(target, str(tmp_path / "c.npz"), match="conv1.weight.npy holds complex64, expected real numbers")
    (tmp_path / "folder.npz").mkdir()
    refused(target, str(tmp_path / "folder.npz"), match="is a folder, expected a file")


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors"])
def test_a_file_that_may_not_be_read_is_not_said_to_be_missing(held, tmp_path, monkeypatch, name):
    target, _ = held
    path, opened = tmp_path / name, Path.open
    path.write_bytes(b"")

    def forbidden(self, *arguments, **options):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    refused(target, str(path), match="cannot be read: Permission denied")


def test_a_folder_in_the_place_of_a_model(tmp_path):
    (tmp_path / "x.onnx").mkdir()
    refused(str(tmp_path / "x.onnx"), match="x.onnx' is a folder, expected a file")


def test_a_npz_that_says_more_than_it_holds(held, tmp_path):
    """A header of 2^40 numbers over six: told before anything is allocated."""
    target, _ = held
    path = tmp_path / "w.npz"
    np.savez(path, **{"conv1.weight": WEIGHT})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(2, 3), }", b"(2**40,)}").replace(b"'shape': (2**40,)}", b"'shape': (9999,)}"))
    refused(target, str(path), match="w.npz")


# Real frameworks ------------------------------------------------------------------------------------------------------


def test_a_torch_model_with_weights_from_torch(tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make(classes=7):\n    return nn.Sequential(nn.Flatten(), nn.Linear(60, classes))\n"
    )
    state = {"1.weight": torch.randn(5, 60), "1.bias": torch.randn(5)}
    torch.save(state, tmp_path / "w.pt")
    subject = loading.load(f"{tmp_path / 'net.py'}:make(classes=5)", str(tmp_path / "w.pt"))
    assert np.array_equal(subject.value("1.weight"), state["1.weight"].numpy())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 with NumPy 2.4
def test_a_keras_model_with_weights_from_keras(tmp_path):
    keras = pytest.importorskip("keras")
    (tmp_path / "net.py").write_text(
        "import keras\ndef make():\n"
        "    return keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(7)])\n"
    )
    other = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(7)])
    other.save_weights(tmp_path / "w.weights.h5")
    subject = loading.load(f"{tmp_path / 'net.py'}:make", str(tmp_path / "w.weights.h5"))
    (name,) = [name for name, shape in subject.parameters.items() if len(shape) == 2]
    assert np.array_equal(subject.value(name), np.asarray(other.weights[0]))
    (tmp_path / "w.weights.h5").write_bytes(b"junk")
    refused(f"{tmp_path / 'net.py'}:make", str(tmp_path / "w.weights.h5"), match="load_weights() raised")


def test_a_jax_function_and_weights_by_path(tmp_path):
    pytest.importorskip("jax")
    (tmp_path / "net.py").write_text(
        "import jax.numpy as jnp\nimport numpy as np\n"
        "def forward(params, x): return x.reshape(len(x), -1) @ params['fc']['w']\n"
        "def make(): return forward, {'fc': {'w': np.zeros((60, 7), np.float32)}}\n"
    )
    np.savez(tmp_path / "w.npz", **{"fc.w": np.ones((60, 7), np.float32)})
    subject = loading.load(f"{tmp_path / 'net.py'}:make", str(tmp_path / "w.npz"))
    graph = subject.record(np.ones((2, 3, 4, 5), np.float32))
    assert np.all(graph.tensors[graph.outputs[0]] == 60)


def test_an_onnx_file(tmp_path):
    pytest.importorskip("onnx")
    from alexnet_parity.impls.foreign import onnx_poses

    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_poses.pose(SMALL, {}, small_params()).SerializeToString())
    assert set(loading.load(str(path)).parameters) == set(small_params())
    path.write_bytes(b"\xff")
    refused(str(path), match="no whole ONNX file")
