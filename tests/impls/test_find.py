"""From a name to an implementation: what is its file and what its setting."""

from __future__ import annotations

import pytest

from alexnet_parity.impls import find


@pytest.mark.parametrize(
    "name, parts",
    [
        ("torch", ("torch", "")),
        ("torch@compile", ("torch", "compile")),
        ("package.module@threads-1", ("package.module", "threads-1")),
        ("mine.py@threads-1", ("mine.py", "threads-1")),
        ("my@dir/mine.py", ("my@dir/mine.py", "")),
        ("my@dir/mine.py@threads-1", ("my@dir/mine.py", "threads-1")),
        ("/home/me@work/mi@ne.py", ("/home/me@work/mi@ne.py", "")),
        ("mi@ne.py", ("mi@ne.py", "")),
        ("@compile", ("@compile", "")),
    ],
)
def test_an_at_within_a_path_begins_no_setting(name, parts):
    assert find.name_and_setting(name) == parts


@pytest.mark.parametrize("name", ["my@dir/mine.py", "mi@ne.py"])
def test_a_file_with_an_at_in_its_path_is_found(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    found = find.find(name)
    assert (found.name, found.file, found.setting) == (name, str(path), "")


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "t.safetensors@compile",
            "a trace takes no setting; record one under it: alexnet-parity record --impl NAME@compile",
        ),
        ("traces/t.safetensors@compile", "a trace takes no setting"),
        ("folder.safetensors", "'folder.safetensors' is a folder, expected a file"),
        ("folder.py", "'folder.py' is a folder, expected a Python file"),
        ("torch@nonesuch", "no setting 'nonesuch' of torch"),
        ("nonesuch_at_all@", "no implementation, module or file 'nonesuch_at_all@'"),
        ("@compile", "no implementation, module or file '@compile'"),
        ("my@dir/mine.py", "no file 'my@dir/mine.py' here"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder.py", "folder.safetensors"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(find, "missing", lambda name: [])
    with pytest.raises(find.Unknown) as refused:
        find.find(name)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
