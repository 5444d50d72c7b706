"""PyTorch models, functions of (params, x) and exported programs as subjects of an audit.

A `TorchFunctionMode` sees each call as the model's author wrote it (F.local_response_norm is one operation, `x += y` and
`x.view` are operations too); module hooks only tell in which module it happened. Tensors are told apart by identity and
by memory: a call in place gives its tensor a new id, and whoever reads the same memory afterwards reads that.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._C import _functorch as functorch
from torch.nn.modules import module as hooks
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from . import torch_files, torch_kinds
from .graph import Graph, Operation, Refused, Shape, numbered, unlike
from .torch_files import Program
from .torch_kinds import tensors

Array = np.ndarray

COUNTER = "num_batches_tracked"  # neither learned nor used in inference
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
NARROW = {torch.bfloat16: "bfloat16", torch.float8_e4m3fn: "float8_e4m3fn", torch.float8_e5m2: "float8_e5m2"}
QUIET = {
    "size",
    "dim",
    "stride",
    "numel",
    "nelement",
    "__len__",
    "is_contiguous",
    "is_floating_point",
    "data_ptr",
    "ndimension",
}
LEAVING = {"numpy", "__array__", "tolist"}  # what is computed with these, torch does not see
ENTERING = {"tensor", "as_tensor", "asarray", "from_numpy"}
COPIED = {"data", "T", "mT", "H", "mH", "real", "imag"}  # the properties of a tensor that are tensors


# Tensors --------------------------------------------------------------------------------------------------------------


def view(tensor: Tensor) -> Array:
    """The tensor in NumPy, its own memory where it can be; types that NumPy lacks as float32, sparse ones dense."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.dtype in NARROW:
        tensor = tensor.float()
    return tensor.resolve_conj().resolve_neg().cpu().numpy()


def copied(tensor: Tensor) -> Array:
    return np.array(view(tensor), order="C", copy=True)


def same(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return np.array_equal(a, b) or (a.dtype.kind in "fc" and np.array_equal(a, b, equal_nan=True))


def unwrapped(tensor: Tensor) -> Tensor:
    """What torch.vmap hands to a function is one item in name; this is the whole batch in memory, its axis first."""
    while functorch.is_functorch_wrapped_tensor(tensor):
        axis = functorch.maybe_get_bdim(tensor)
        tensor = functorch.get_unwrapped(tensor)
        if axis > 0:
            tensor = tensor.movedim(axis, 0)
    return tensor


def storage(tensor: Tensor) -> int:
    """A number for the memory behind a tensor; its own where there is none (or none yet)."""
    try:
        return tensor.untyped_storage().data_ptr() or -id(tensor)
    except (RuntimeError, NotImplementedError):
        return -id(tensor)


def coincide(a: Tensor, b: Tensor) -> bool:
    """Are these the same numbers in the same memory?"""
    return (
        storage(a) == storage(b)
        and (a.shape, a.dtype) == (b.shape, b.dtype)
        and a.layout == b.layout == torch.strided
        and (a.stride(), a.storage_offset()) == (b.stride(), b.storage_offset())
    )


def version(tensor: Tensor) -> int | None:
    """How often it was written to; None where torch does not count (inference_mode)."""
    return None if tensor.is_inference() else tensor._version


def flattened(value: Any) -> list[Tensor]:
    """The tensors that a model returned, in order: of lists, dictionaries, data classes."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in flattened(item)]
    if callable(getattr(value, "items", None)):
        return [tensor for _, item in value.items() for tensor in flattened(item)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return flattened([getattr(value, field.name) for field in dataclasses.fields(value)])
    return []


# Recording ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Seen:
    """A tensor object under the id that it last went by. Held, so that neither object nor memory is used again."""

    tensor: Tensor
    id: str
    memory: int
    clock: int


class Within(TorchDispatchMode):
    """Calls each operation of a ScriptModule anew from Python, where a `Recorder` sees it."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


class Recorder(TorchFunctionMode):
    """Writes down every call on tensors while it is active. What TorchScript runs, it sees as `torch.ops.aten`."""

    def __init__(self, parameters: Mapping[str, Tensor], paths: Mapping[int, str], ignored: frozenset[int]) -> None:
        super().__init__()
        self._ignored = ignored  # tensors that count batches
        self.operations: list[Operation] = []
        self.arrays: dict[str, Array] = {}
        self.dtypes: dict[str, str] = {}
        self.used: set[str] = set()  # ids of parameters that an operation took
        self.called: set[int] = set()  # modules that ran
        self._taken: set[str] = {"input"}
        self._seen: dict[int, Seen] = {}
        self._sharing: dict[int, list[Tensor]] = {}  # tensors by memory
        self._written: dict[int, list[Seen]] = {}  # tensors written in place, by memory
        self._learned: set[str] = set()  # ids that come from parameters alone
        self._clock = 0
        self._paths = paths
        self._scope: list[tuple[str, nn.Module | None, str]] = []
        self._script: tuple[nn.Module, Within] | None = None
        self._left: dict[str, None] = {}  # ids of tensors whose numbers were taken out of torch
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []  # parameters about to be written: it, its memory, a copy
        for name, tensor in parameters.items():
            self._bind(tensor, f"param:{name}")
            self._learned.add(f"param:{name}")

    # What happens ------------------------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = torch_kinds.raw_name(func)
        if name in QUIET or (torch_kinds.is_property(func) and not self._matters(func, name)):
            return func(*args, **kwargs)
        given = list(tensors((args, kwargs)))
        if given and id(given[0]) in self._ignored:
            return func(*args, **kwargs)
        bare = [unwrapped(tensor) for tensor in given]
        ids = [self.id_of(tensor) for tensor in bare]
        if name in LEAVING:
            self._left.update(dict.fromkeys(ids))
        if name in ENTERING and not ids:
            ids = list(self._left)
        before = [version(tensor) for tensor in bare]
        written = [unwrapped(tensor) for tensor in torch_kinds.written(func, args, kwargs)]
        self._keep(written)
        result = func(*args, **kwargs)
        changed = _changed(bare, before, written)
        if torch_kinds.base_name(func).endswith("batch_norm"):
            changed = []  # running statistics
        gave = [*tensors(result)]
        outputs = _with([unwrapped(tensor) for tensor in gave], changed)
        if outputs:
            self._add_call(torch_kinds.read(func, args, kwargs, gave or given[:1]), given, ids, outputs, changed)
        return result

    @staticmethod
    def _matters(func: Callable[..., Any], name: str) -> bool:
        return (func.__name__ == "__get__" and name in COPIED) or (func.__name__ == "__set__" and name == "data")

    def enter(self, path: str, module: nn.Module | None, layer: str = "") -> None:
        """Calls are made by this module from now on; `layer` is its class's name, where that is all there is."""
        self._scope.append((path, module, layer))

    def leave(self) -> None:
        self._scope.pop()

    def before_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A hook before any module's forward."""
        self.called.add(id(module))
        outer = self._scope[-1][0] if self._scope else ""
        self.enter(self._paths.get(id(module), outer), module)
        if isinstance(module, torch.jit.ScriptModule) and self._script is None:
            self._script = module, Within()
            self._script[1].__enter__()

    def after_module(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        """A hook behind it."""
        if self._script is not None and self._script[0] is module:
            self._script[1].__exit__(None, None, None)
            self._script = None
        self.leave()

    def restore(self) -> None:
        """Parameters that the model wrote to get their values back."""
        for tensor, memory, values in reversed(self._kept):
            memory.copy_(values)
            if storage(tensor) != storage(memory):
                tensor.data = memory

    def _keep(self, given: Sequence[Tensor]) -> None:
        for tensor in given:
            for shared in self._sharing.get(storage(tensor), ()):
                seen = self._seen[id(shared)]
                if seen.clock == 0 and not any(shared is kept for kept, _, _ in self._kept):
                    self._kept.append((shared, shared.detach(), shared.detach().clone()))

    # Which tensor is it? -----------------------------------------------------------------------------------------

    def id_of(self, tensor: Tensor) -> str:
        """The id under which the tensor's present content is recorded; recorded now where it is not."""
        seen = self._seen.get(id(tensor))
        if seen is None or seen.memory != storage(tensor):
            return self._unseen(tensor)
        writes = [write for write in self._written.get(seen.memory, ()) if write.clock > seen.clock]
        if writes and coincide(writes[-1].tensor, tensor):
            return self._bind(tensor, writes[-1].id)
        recorded = self.arrays.get(seen.id)  # None for a parameter
        if same(recorded, view(tensor)) if recorded is not None else not writes:
            return self._note(seen.id)
        return self._follow(tensor, seen.id, writes)

    def _follow(self, tensor: Tensor, old: str, writes: Sequence[Seen]) -> str:
        """Its memory was written through another view: an operation that gives what it holds now."""
        inputs: tuple[str, ...] = (old,)
        if writes and _whole(writes[-1].tensor, tensor):
            inputs = (writes[-1].id,)
            kind, text = "reshape", "the same memory, written in place"
        elif writes:
            inputs = (old, *dict.fromkeys(write.id for write in writes))
            kind, text = "other", "written in place through a view"
        else:
            kind, text = "other", "changed where no operation was seen"
        self._add(self._label("memory"), kind, text, inputs, [tensor], [tensor])
        return self._seen[id(tensor)].id

    def _unseen(self, tensor: Tensor) -> str:
        """A tensor object that no operation gave: another name of known memory, or a constant."""
        if twin := self._twin(tensor):
            return self._bind(tensor, self.id_of(twin.tensor))
        if sharing := self._sharing.get(storage(tensor)):
            source = self.id_of(sharing[-1])
            kind = "reshape" if _whole(sharing[-1], tensor) else "other"
            self._add(self._label("memory"), kind, "a view of the same memory", (source,), [tensor], [])
        elif self._left:
            self._add(self._label("outside"), "other", "computed outside of torch", [*self._left], [tensor], [])
        else:
            name = f"constant:{sum(name.startswith('constant:') for name in self.arrays) + 1}"
            self._copy(name, tensor)
            self._bind(tensor, name)
        return self._seen[id(tensor)].id

    def _twin(self, tensor: Tensor) -> Seen | None:
        others = reversed(self._sharing.get(storage(tensor), []))
        return next((self._seen[id(other)] for other in others if coincide(other, tensor)), None)

    def _bind(self, tensor: Tensor, name: str) -> str:
        memory = storage(tensor)
        self._seen[id(tensor)] = Seen(tensor, name, memory, self._clock)
        sharing = self._sharing.setdefault(memory, [])
        if not any(tensor is other for other in sharing):
            sharing.append(tensor)
        return self._note(name)

    def _note(self, name: str) -> str:
        if name.startswith("param:") and self._clock:
            self.used.add(name.removeprefix("param:"))
        return name

    def _copy(self, name: str, tensor: Tensor) -> None:
        self.arrays[name] = copied(tensor)
        if tensor.dtype in NARROW:
            self.dtypes[name] = NARROW[tensor.dtype]

    def given(self, name: str, tensor: Tensor) -> None:
        """The model's input."""
        self._clock += 1
        self._copy(name, tensor)
        self._bind(tensor, name)

    # Writing down ------------------------------------------------------------------------------------------------

    def _label(self, name: str) -> str:
        path = self._scope[-1][0] if self._scope else ""
        return f"{path}/{name}" if path else name

    def _add_call(
        self,
        call: torch_kinds.Call,
        given: Sequence[Tensor],
        ids: Sequence[str],
        gave: Sequence[Tensor],
        changed: Sequence[Tensor],
    ) -> None:
        positions = {
            role: next(i for i, tensor in enumerate(given) if tensor is wanted) for role, wanted in call.roles.items()
        }
        kind = call.kind
        if kind == "dense" and call.attributes.get("weight_layout") == "IO" and not self._multiplies(positions, ids):
            kind, positions = "other", {}  # two activations multiplied, or weights from the left
        path, module, layer = self._scope[-1] if self._scope else ("", None, "")
        own = module is not None and torch_kinds.is_own(module, kind)
        label = path if path and (own or torch_kinds.LAYERS.get(layer) == kind) else self._label(call.name)
        text = torch_kinds.described(module) if own and module is not None else call.text
        inputs = tuple(reversed(ids)) if call.swapped else tuple(ids)
        attributes = {} if kind == "other" else call.attributes
        self._add(label, kind, text, inputs, gave, changed, positions, attributes)

    def _multiplies(self, positions: Mapping[str, int], ids: Sequence[str]) -> bool:
        return ids[positions["weight"]] in self._learned and ids[positions["x"]] not in self._learned

    def _add(
        self,
        label: str,
        kind: str,
        text: str,
        inputs: Sequence[str],
        gave: Sequence[Tensor],
        changed: Sequence[Tensor],
        roles: Mapping[str, int] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self._clock += 1
        name = numbered(label, self._taken)
        self._taken.add(name)
        outputs = tuple(name if len(gave) == 1 else f"{name}:{i}" for i in range(len(gave)))
        for output, tensor in zip(outputs, gave, strict=True):
            self._copy(output, tensor)
            self._bind(tensor, output)
            if any(tensor is other for other in changed):
                self._written.setdefault(storage(tensor), []).append(self._seen[id(tensor)])
        if inputs and all(name in self._learned for name in inputs):
            self._learned.update(outputs)
        self.operations.append(Operation(name, kind, text, tuple(inputs), outputs, roles or {}, attributes or {}))


def _changed(given: Sequence[Tensor], before: Sequence[int | None], written: Sequence[Tensor]) -> list[Tensor]:
    """Those of the given tensors that torch counted a write to, and where it does not count, those the call names."""
    found = [t for t, count in zip(given, before, strict=True) if count is not None and version(t) != count]
    return list({id(tensor): tensor for tensor in [*found, *written]}.values())


def _with(gave: list[Tensor], changed: Sequence[Tensor]) -> list[Tensor]:
    return gave + [tensor for tensor in changed if not any(tensor is other for other in gave)]


def _whole(a: Tensor, b: Tensor) -> bool:
    """The same memory from end to end, in the same order: a reshape of each other."""
    return (
        (a.numel(), a.dtype, a.storage_offset()) == (b.numel(), b.dtype, b.storage_offset())
        and a.is_contiguous()
        and b.is_contiguous()
    )


# Subjects -------------------------------------------------------------------------------------------------------------


class TensorSubject:
    """What all three kinds of subject share: named tensors that are read, loaded and watched."""

    input_shape: Shape | None = None
    batch: int | None = None
    trains = False

    def __init__(self, held: Mapping[str, Tensor], frozen: Sequence[str]) -> None:
        self.framework = f"torch {torch.__version__}"
        self._tensors = dict(held)
        self.parameters: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        self.frozen: tuple[str, ...] = tuple(frozen)
        self._count = 0
        for name, tensor in self._tensors.items():
            _check(name, tensor)

    def value(self, name: str) -> Array:
        return copied(self._tensors[name])

    def load(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            if name not in self._tensors:
                raise ValueError(f"found values for {name!r}, expected one of {', '.join(self._tensors)}")
            if tuple(value.shape) != self.parameters[name]:
                raise unlike(name, value.shape, self.parameters[name])
        with torch.no_grad():
            for name, value in values.items():
                self._tensors[name].copy_(torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape))

    def record(self, x: Array, training: bool = False) -> Graph:
        first = next((t for t in self._tensors.values() if t.is_floating_point()), torch.empty(0))
        self._count += 1
        with ExitStack() as stack:
            stack.enter_context(_random(self._count))
            stack.enter_context(torch.no_grad())
            stack.enter_context(self._as_asked(training))
            batch = torch.from_numpy(np.array(x, order="C", copy=True)).to(first.device, first.dtype)
            recorder = Recorder(self._tensors, self._paths(), self._ignored())
            stack.callback(recorder.restore)
            recorder.given("input", batch)
            with recorder:
                result = self._watched(batch, recorder)
            outputs = tuple(recorder.id_of(tensor) for tensor in flattened(result))
        if not outputs:
            raise Refused(f"the model returned {type(result).__name__} without a tensor; expected the network's output")
        return Graph(
            recorder.operations, recorder.arrays, "input", outputs, "NCHW", recorder.dtypes, self._idle(recorder)
        )

    def _paths(self) -> Mapping[int, str]:
        return {}

    def _ignored(self) -> frozenset[int]:
        return frozenset()

    def _idle(self, recorder: Recorder) -> tuple[str, ...]:
        return ()

    @contextmanager
    def _as_asked(self, training: bool) -> Iterator[None]:
        yield

    def _watched(self, x: Tensor, recorder: Recorder) -> Any:
        raise NotImplementedError


def _check(name: str, tensor: Tensor) -> None:
    if is_lazy(tensor):
        raise Refused(f"{name} has no shape yet (a lazy module); run the model once on a batch, then audit it")
    if tensor.is_complex():
        raise Refused(f"{name} is complex ({tensor.dtype}); expected real numbers, an AlexNet has no other")
    if tensor.is_meta:
        raise Refused(
            f"{name} is on the meta device and holds nothing; give the model memory: model.to_empty(device='cpu')"
        )


@contextmanager
def _random(seed: int) -> Iterator[None]:
    """Random numbers of its own for each run, the same for the same run; torch's own state comes back afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


class FunctionSubject(TensorSubject):
    """function(params, x), the tensors of params (nested or not) by their path."""

    def __init__(self, function: Callable[[Any, Tensor], Any], params: Any) -> None:
        self._function, self._params = function, params
        super().__init__(_distinct(_named(params)), ())
        if not self._tensors:
            raise Refused("found no torch tensor in the function's params, expected a dictionary of them")

    def _watched(self, x: Tensor, recorder: Recorder) -> Any:
        return self._function(self._params, x)


class ProgramSubject(TensorSubject):
    """An exported program, fixed to the mode that it was exported in."""

    def __init__(self, program: Program) -> None:
        self._program = program
        super().__init__(
            {n: t for n, t in program.parameters.items() if t.is_floating_point() or t.is_complex()},
            [n for n, t in program.parameters.items() if n in program.buffers and t.is_floating_point()],
        )
        shape = program.shape
        self.input_shape = shape[1:] if shape and len(shape) == 4 else None
        self.batch = (shape[0] or None) if shape else None

    def _watched(self, x: Tensor, recorder: Recorder) -> Any:
        return self._program.run(x, recorder)


class ModuleSubject(TensorSubject):
    """An nn.Module of any kind."""

    trains = True

    def __init__(self, model: nn.Module) -> None:
        while isinstance(model, WRAPPERS) or type(model).__name__ == "OptimizedModule":
            model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
        self._model = model
        self._modules = dict(_modules(model))
        learned = {n: t for n, t, is_learned in _held(self._modules) if is_learned}
        kept = {n: t for n, t, is_learned in _held(self._modules) if not is_learned and t.is_floating_point()}
        named = _distinct([*learned.items(), *kept.items()])
        super().__init__(named, [name for name in kept if name in named])
        self.trains = "train" not in vars(model)  # torch.export puts one there that raises

    def _paths(self) -> Mapping[int, str]:
        return {id(module): name for name, module in self._modules.items()}

    def _ignored(self) -> frozenset[int]:
        named = [item for module in self._modules.values() for item in module.named_buffers(recurse=False)]
        return frozenset(id(tensor) for name, tensor in named if name == COUNTER)

    def _idle(self, recorder: Recorder) -> tuple[str, ...]:
        """Leaf modules that did not run and of whose parameters none was used."""
        used = {id(self._tensors[name]) for name in recorder.used}
        return tuple(
            name
            for name, module in self._modules.items()
            if name
            and id(module) not in recorder.called
            and not isinstance(module, CONTAINERS)
            and not list(module.children())
            and not any(id(tensor) in used for tensor in module.parameters())
            and not self._inside_script(name)
        )

    def _inside_script(self, name: str) -> bool:
        """What a ScriptModule calls cannot be seen."""
        parents = [name[:i] for i, letter in enumerate(name) if letter == "."]
        return any(isinstance(self._modules.get(parent), torch.jit.ScriptModule) for parent in ["", *parents])

    def _watched(self, x: Tensor, recorder: Recorder) -> Any:
        with ExitStack() as stack:
            before = hooks.register_module_forward_pre_hook(recorder.before_module)
            stack.callback(before.remove)
            after = hooks.register_module_forward_hook(recorder.after_module, always_call=True)
            stack.callback(after.remove)
            if any(type(m).__name__ == "OptimizedModule" for m in self._modules.values()):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
                stack.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", message="Using `torch.compile.module.` when there are global hooks")
            return self._model(x)

    @contextmanager
    def _as_asked(self, training: bool) -> Iterator[None]:
        """In training or inference mode; flags, buffers and DataParallel's devices come back afterwards."""
        modes = [(module, module.training) for module in self._modules.values()]
        buffers = [
            (module, name, tensor, tensor.clone())
            for module in self._modules.values()
            for name, tensor in module.named_buffers(recurse=False)
        ]
        parallel = [(m, m.device_ids) for m in self._modules.values() if isinstance(m, nn.DataParallel)]
        try:
            if self.trains:
                for module in _roots(self._modules):
                    module.train(training)
            for module, _ in parallel:
                module.device_ids = []  # in this thread, where it can be watched
            yield
        finally:
            for module, mode in modes:
                if module.training != mode:
                    module.training = mode
            for module, devices in parallel:
                module.device_ids = devices
            for module, name, tensor, values in buffers:
                tensor.copy_(values)
                if not isinstance(module, torch.jit.ScriptModule):
                    module._buffers[name] = tensor


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, by its first name; those kept in plain lists and dictionaries, which torch overlooks, as well."""
    seen: set[int] = set()
    waiting = [("", model)]
    while waiting:
        root, top = waiting.pop(0)
        for name, module in top.named_modules():
            path = ".".join(part for part in (root, name) if part)
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                waiting += [(".".join(p for p in (path, n) if p), m) for n, m in _attributes(module, nn.Module)]


def _roots(modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The model, and the modules that it does not know of."""
    known = {id(module) for module in modules[""].modules()}
    return [module for name, module in modules.items() if not name or id(module) not in known]


def _attributes(module: nn.Module, kind: type) -> Iterator[tuple[str, Any]]:
    """Objects of a kind in a module's own attributes, also in lists, tuples and dictionaries there."""
    if isinstance(module, torch.jit.ScriptModule):
        return
    for name, value in vars(module).items():
        if not name.startswith("_"):
            yield from _named(value, name, kind)


def _named(value: Any, name: str = "", kind: type = Tensor) -> Iterator[tuple[str, Any]]:
    """(path, object) for each object of a kind in nested dictionaries, lists and tuples."""
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _named(item, f"{name}.{key}" if name else str(key), kind)


def _held(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor, bool]]:
    """(name, tensor, learned?) of parameters, buffers and tensors in plain attributes of all modules."""
    for path, module in modules.items():
        prefix = f"{path}." if path else ""
        for name, parameter in module.named_parameters(recurse=False):
            yield prefix + name, parameter, True
        for name, buffer in module.named_buffers(recurse=False):
            if name != COUNTER:
                yield prefix + name, buffer, False
        for name, tensor in _attributes(module, Tensor):
            source = {f"{name}_orig", f"{name}_g", f"{name}_v"} & set(module._parameters)
            if tensor.is_leaf and not source:  # not what a hook computes from parameters
                yield prefix + name, tensor, tensor.requires_grad


def _distinct(named: Any) -> dict[str, Tensor]:
    """Each tensor once, under its first name."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in named:
        found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())


def materialise(model: nn.Module, input_shape: Shape | None) -> None:
    """Give lazy modules their shapes by running zeros of `input_shape` (C, H, W) through them once."""
    lazy = [name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if is_lazy(tensor)]
    if not lazy:
        return
    if input_shape is None:
        raise Refused(f"{lazy[0]} has no shape yet (a lazy module); run the model once, or name --input-shape N,C,H,W")
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad(), _random(0):
            model.eval()(torch.zeros(2, *input_shape))
    finally:
        for module, mode in modes:
            module.training = mode


def subject(target: Any, input_shape: Shape | None = None) -> TensorSubject:
    """An nn.Module, an exported program in memory, or a pair (function, params), as a subject; Refused for anything else.

    `input_shape` (C, H, W) is only asked for where lazy modules have no shapes yet; these get theirs from it.
    """
    if isinstance(target, torch.export.ExportedProgram):
        return ModuleSubject(target.module())
    if isinstance(target, nn.Module):
        materialise(target, input_shape)
        return ModuleSubject(target)
    if isinstance(target, tuple) and len(target) == 2 and callable(target[0]):
        return FunctionSubject(*target)
    raise Refused(
        f"found {type(target).__name__}, expected a torch.nn.Module or a pair (function, params) with torch tensors in params"
    )


def exported(path: str | os.PathLike[str]) -> TensorSubject:
    """The program in a .pt2 file of torch.export.save, read without unpickling; Refused, in one line, for anything else."""
    return ProgramSubject(torch_files.program(path))


def state(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The floating-point values in a .pt or .pth file of a state dict, as float32 by name; see `torch_files.state`."""
    return torch_files.state(path)
