"""Dependencies run one way, and frameworks are imported only where one is named."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("reference", "impls", "checks", "evaluate", "train", "reports", "cli")
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "onnxruntime", "onnx", "openvino"}


def imports(path: Path, root: Path = ROOT) -> set[str]:
    """Every module that a file imports, wherever in it, relative imports resolved to alexnet_parity.*."""
    found = set()
    above = ("alexnet_parity", *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = "".join(f"{part}." for part in above[: len(above) + 1 - node.level]) if node.level else ""
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {package + name for name in names}
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ORDER)
def test_a_folder_imports_only_what_comes_before_it(folder):
    later = ORDER[ORDER.index(folder) + 1 :]
    for path in files(folder):
        wrong = {m for m in imports(path) if m.startswith(tuple(f"alexnet_parity.{name}" for name in later))}
        assert not wrong, f"{path.name} imports {wrong}"


def test_the_rule_would_be_seen_broken(tmp_path):
    planted = tmp_path / "reference" / "planted.py"
    planted.parent.mkdir()
    planted.write_text("def late():\n    from ..checks import compare\n")
    assert imports(planted, tmp_path) == {"alexnet_parity.checks"}
    deeper = tmp_path / "reference" / "deep" / "planted.py"
    deeper.parent.mkdir()
    deeper.write_text("from ...cli.main import say\nfrom . import near\n")
    assert imports(deeper, tmp_path) == {"alexnet_parity.cli.main", "alexnet_parity.reference.deep.near"}


@pytest.mark.parametrize("folder", [name for name in ORDER if name != "impls"])
def test_no_framework_is_imported_outside_impls(folder):
    for path in files(folder):
        assert not {m.partition(".")[0] for m in imports(path)} & FRAMEWORKS, path.name


def modules_after(code: str) -> set[str]:
    """The top-level modules loaded by a fresh interpreter that ran `code`."""
    script = f"import sys\n{code}\nprint('MODULES', *{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.partition("MODULES ")[2].split())


def test_everything_but_the_implementations_loads_without_a_framework():
    names = [
        ".".join(("alexnet_parity", *p.relative_to(ROOT).with_suffix("").parts))
        for f in ORDER
        if f != "impls"
        for p in files(f)
        if p.stem not in ("__init__", "__main__")
    ]
    loaded = modules_after(f"import importlib\nfor name in {names}: importlib.import_module(name)")
    assert not loaded & FRAMEWORKS
    assert "numpy" in loaded  # the listing works


@pytest.mark.parametrize(
    "arguments, heavy",
    [
        (["list"], FRAMEWORKS | {"pandas", "matplotlib", "PIL"}),
        (["--help"], FRAMEWORKS | {"pandas", "matplotlib", "PIL", "numpy"}),
        (["spec", "--json"], FRAMEWORKS | {"pandas", "matplotlib", "PIL", "numpy"}),
    ],
    ids=["list", "help", "spec"],
)
def test_quick_commands_load_nothing_heavy(arguments, heavy):
    run = f"from alexnet_parity.cli.main import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    pass"
    assert not modules_after(run) & heavy


def test_the_worker_loads_only_numpy_and_what_the_implementation_imports():
    loaded = modules_after("import alexnet_parity.checks.worker")
    assert not loaded & (FRAMEWORKS | {"pandas", "matplotlib", "tabulate"})


def test_every_implementation_of_ours_says_what_it_requires():
    from alexnet_parity.impls import find

    for name, path in find.own().items():
        assert find.requires(path), name
        used = {m.partition(".")[0] for m in imports(path)} & FRAMEWORKS
        assert used <= set(find.requires(path))
