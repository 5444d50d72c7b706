"""The README's "add your implementation" is run as it stands there. Needs torch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import findings_of, run

README = Path(__file__).parent.parent.parent / "README.md"


@pytest.fixture
def example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return code


def test_the_example_passes(example, tmp_path):
    mine, file = tmp_path / "mine.py", tmp_path / "findings.json"
    mine.write_text(example)
    assert run("verify", "--impl", mine, "--json", file) == 0
    statuses = {(f.check, f.status) for f in findings_of(file)}
    assert ("exact-one-tap", "PASS") in statuses
    assert ("local-large", "PASS") in statuses
    assert ("exact-chain", "UNSUPPORTED") in statuses


def test_the_mistake_that_the_readme_names_is_found_and_named_as_it_says(example, tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text(example.replace("alpha=5e-4", "alpha=1e-4"))
    assert run("verify", "--impl", mine, "--check", "local-large") == 1
    said = capsys.readouterr().out.splitlines()
    line = said[said.index("First departures:") + 1]
    assert "mine.py paper local-large large norm1: " in line
    assert line.startswith("FAIL        ")
    assert line.endswith("(agrees if alpha is divided by n [lrn-alpha-over-n])")
