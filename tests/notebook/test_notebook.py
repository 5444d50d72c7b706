"""reports/alexnet.ipynb: it runs, says today what it said when it was written, and a wrong statement stops it."""

from __future__ import annotations

import copy
import json
import re
import socket
import sys
import tomllib
from pathlib import Path

import pytest

from alexnet_parity.reports import notebook

ROOT = Path(__file__).parent.parent.parent
COMMITTED = json.loads(notebook.NOTEBOOK.read_text(encoding="utf-8"))
CELLS = {cell["id"]: cell for cell in COMMITTED["cells"]}
CODE = {name: cell for name, cell in CELLS.items() if cell["cell_type"] == "code"}
FIGURES = [
    name for name, cell in CODE.items() if any("image/png" in output.get("data", {}) for output in cell["outputs"])
]


def source(cell: dict) -> str:
    return notebook.joined(cell["source"])


def prose() -> str:
    return "\n".join(source(cell) for cell in CELLS.values() if cell["cell_type"] == "markdown")


def of(*cells: dict) -> dict:
    return {**COMMITTED, "cells": list(cells)}


def small(*sources: str) -> dict:
    """A notebook of these code cells: cell-0, cell-1, ..."""
    blank = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    return of(*({**blank, "id": f"cell-{number}", "source": text} for number, text in enumerate(sources)))


@pytest.fixture
def file(tmp_path):
    """Writes a notebook to a file of its own."""

    def write(document: dict) -> Path:
        path = tmp_path / "copy.ipynb"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


# The notebook as a whole -----------------------------------------------------------------------------------------------


def test_it_runs_in_a_fresh_kernel_and_comes_to_the_same_conclusions(file):
    again = notebook.executed(file(COMMITTED))
    assert not notebook.changes(COMMITTED, again), (
        "run `python -m alexnet_parity.reports.notebook`, and read what changed"
    )
    assert list(notebook.texts(again)) == list(CODE)
    assert [cell["id"] for cell in again.cells if drawn(cell)] == FIGURES


def drawn(cell: dict) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


PLANTED = {
    "another alpha by hand": ("lrn-by-hand", "alpha, beta = 2, 5, 1e-4", "alpha, beta = 2, 5, 2e-4", "lrn-oracle"),
    "a number in an assertion": ("parameters", '"61.9%"', '"62.9%"', "parameters"),
    "the other input size": ("size-readings", 'remaining == ["C"]', 'remaining == ["A"]', "size-readings"),
    "another padding": ("impulse-conclusion", "padding=(0, 0), ceil", "padding=(1, 1), ceil", "impulse-conclusion"),
    "a wider window": ("window", '"the paper: n = 5": norm1', '"the paper": (norm1 := replace(norm1, n=7))', "window"),
}
NEEDED = (
    "imports",
    "layer-table",
    "drawing-parts",
    "lrn-by-hand",
    "lrn-oracle",
    "window",
    "impulse",
)  # they define names


@pytest.mark.parametrize("where, old, new, fails", PLANTED.values(), ids=PLANTED)
def test_a_wrong_statement_stops_the_run(file, where, old, new, fails):
    cells = [copy.deepcopy(cell) for name, cell in CODE.items() if name in NEEDED or name == where]
    (wrong,) = (cell for cell in cells if cell["id"] == where)
    assert source(wrong).count(old) == 1
    wrong["source"] = source(wrong).replace(old, new)
    with pytest.raises(notebook.Failed, match="AssertionError") as failed:
        notebook.executed(file(of(*cells)))
    assert source(CODE[fails]).splitlines()[-1] in str(failed.value)


def test_the_same_cells_run_as_they_are(file):
    wheres = {where for where, *_ in PLANTED.values()}
    cells = [cell for name, cell in CODE.items() if name in NEEDED or name in wheres]
    again = notebook.executed(file(of(*cells)))
    assert not notebook.changes(COMMITTED, again)


# What is committed -----------------------------------------------------------------------------------------------------


def repository() -> str:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return urls["Repository"].removeprefix("https://github.com/")


def test_the_badges_lead_to_this_file_in_the_repository_of_pyproject():
    slug, path = repository(), notebook.NOTEBOOK.resolve().relative_to(ROOT.resolve()).as_posix()
    badges = dict(re.findall(r"\[!\[([^]]*)\]\(https://[^)]*\)\]\((https://[^)]*)\)", source(COMMITTED["cells"][0])))
    assert badges == {
        "View on GitHub": f"https://github.com/{slug}/blob/main/{path}",
        "Open in Colab": f"https://colab.research.google.com/github/{slug}/blob/main/{path}",
        "Open in Binder": f"https://mybinder.org/v2/gh/{slug}/main?labpath={path.replace('/', '%2F')}",
    }
    assert f"git+https://github.com/{slug}\n" in source(CODE["imports"])


def test_files_that_it_links_to_are_there():
    links = re.findall(r"\]\((?!https?:|#)([^)#]*)", prose())
    assert "../README.md" in links
    assert not [link for link in links if not (notebook.NOTEBOOK.parent / link).is_file()]


def test_every_cell_has_run_in_order_without_error():
    assert [cell["execution_count"] for cell in CODE.values()] == list(range(1, len(CODE) + 1))
    kinds = {output["output_type"] for cell in CODE.values() for output in cell["outputs"]}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not [o for cell in CODE.values() for o in cell["outputs"] if o.get("name") == "stderr"]


def test_nothing_of_the_machine_that_ran_it_is_in_it():
    said = "\n".join(notebook.texts(COMMITTED).values()) + json.dumps(COMMITTED["metadata"])
    assert not re.search(r"/(home|root|tmp|work|usr|opt|Users|var)/|site-packages|[A-Z]:\\", said)
    for own in (socket.gethostname(), str(ROOT), sys.prefix, sys.executable):
        assert len(own) < 4 or own not in said
    assert COMMITTED["metadata"] == notebook.METADATA
    assert {key for cell in CELLS.values() for key in cell["metadata"]} <= {"tags"}


def test_a_path_in_an_output_would_be_seen(file):
    again = notebook.executed(file(small("print('/home/somebody/x')")))
    assert re.search(r"/(home|root|tmp|work|usr|opt|Users|var)/", notebook.texts(again)["cell-0"])


def test_every_figure_comes_after_words_that_say_what_it_shows():
    assert len(FIGURES) >= 9
    names = list(CELLS)
    for name in FIGURES:
        before = CELLS[names[names.index(name) - 1]]
        assert before["cell_type"] == "markdown", name
        assert len(source(before)) > 60, name
        assert re.search(r"set_title|title=|suptitle", source(CELLS[name])), name


def test_cells_are_short_and_the_file_is_small():
    assert not [name for name, cell in CODE.items() if len(source(cell).splitlines()) > 25]
    assert notebook.NOTEBOOK.stat().st_size < 1_500_000


def test_only_cells_about_frameworks_may_print_what_depends_on_them():
    varying = [name for name, cell in CODE.items() if notebook.VARIES in cell["metadata"].get("tags", ())]
    assert set(CODE) - set(varying) == set(notebook.texts(COMMITTED, everything=False))
    mentioning = {name for name, cell in CODE.items() if re.search(r"\bHERE\b|runnable\(\)", source(cell))}
    assert mentioning <= set(varying)


# Running ---------------------------------------------------------------------------------------------------------------


def test_the_kernel_is_this_interpreter_and_keeps_out_of_the_users_folders(file):
    code = "import os, sys\nprint(sys.executable)\nprint(os.environ['IPYTHONDIR'])\nprint(os.getcwd())"
    said = notebook.texts(notebook.executed(file(small(code))))["cell-0"].splitlines()
    assert said[0] == sys.executable
    assert not Path(said[1]).exists()  # a temporary one, gone
    assert Path(said[2]) == notebook.NOTEBOOK.parent


def test_a_run_gives_the_same_file_again(file, capsys):
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);", "print(1)\nprint(2)"
    path = file(small(*code))
    assert notebook.main([str(path)]) == 0
    first = path.read_bytes()
    assert notebook.main([str(path)]) == 0
    assert path.read_bytes() == first
    assert b"image/png" in first
    assert notebook.main(["--check", str(path)]) == 0
    assert "the same conclusions" in capsys.readouterr().out


def test_a_check_sees_another_conclusion_and_writes_nothing(file, capsys):
    path = file(small("print(41 + 1)", "print('same')"))
    assert notebook.main([str(path)]) == 0
    path.write_text(path.read_text().replace("42", "43"))
    edited = path.read_bytes()
    assert notebook.main(["--check", str(path)]) == 1
    assert "cell-0: found '43', expected '42'" in capsys.readouterr().err
    assert path.read_bytes() == edited


def test_cells_that_depend_on_frameworks_may_say_something_else():
    old = small("print(1)")
    old["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]
    new = copy.deepcopy(old)
    new["cells"][0]["outputs"][0]["text"] = ["2\n"]
    assert notebook.changes(old, new) == ["cell-0: found '1', expected '2'"]
    new["cells"][0]["metadata"]["tags"] = [notebook.VARIES]
    assert notebook.changes(old, new) == []


def test_a_failing_cell_leaves_the_file_as_it_was(file, capsys):
    path = file(small("print('before')", "raise ValueError('planted')"))
    before = path.read_bytes()
    assert notebook.main([str(path)]) == 1
    assert "ValueError: planted" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_kernel_that_dies_is_an_error_in_words(file):
    with pytest.raises(notebook.Failed, match="kernel died"):
        notebook.executed(file(small("import os\nos._exit(3)")))


def test_a_warning_stops_the_run_but_start_up_messages_do_not(file):
    with pytest.raises(notebook.Failed, match=r"cell-0 wrote to standard error: .*planted"):
        notebook.executed(file(small("import warnings\nwarnings.warn('planted')")))
    line = "I0000 00:00:1700000000.123456   12553 port.cc:153] something is on."
    again = notebook.executed(file(small(f"import sys\nprint({line!r}, file=sys.stderr)")))
    assert again.cells[0].outputs == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": [{}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'])
def test_what_is_no_notebook_is_refused_in_a_line(tmp_path, capsys, text):
    path = tmp_path / "bad.ipynb"
    path.write_text(text)
    assert notebook.main([str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("notebook: cannot read")
    assert said.count("\n") == 1


def test_a_missing_file_is_refused_in_a_line(tmp_path, capsys):
    assert notebook.main([str(tmp_path / "none.ipynb")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
