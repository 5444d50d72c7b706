"""What others' code says, in one line that is safe to print and names their file."""

from __future__ import annotations

import json
import textwrap

import pytest

from alexnet_parity.impls import describe


@pytest.mark.parametrize(
    "said, line",
    [
        ("\x1b]0;owned\x07\x00hello", "hello"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a \x1b[1;31mred\x1b[0m word", "a red word"),
        ("cut \x1b[3", "cut"),
        ("cut \x1b", "cut"),
        ("\x9b31mone byte", "one byte"),
        ("an end that never comes \x1b]0;title", "an end that never comes 0;title"),
        ("bell\x07 and\x7f back\x08space", "bell and backspace"),
        ("half a pair \udcff", "half a pair"),
        ("turned \u202edrow", "turned drow"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("é ü 漢 ∞ [1, 2]", "é ü 漢 ∞ [1, 2]"),
    ],
)
def test_nothing_that_a_terminal_obeys_comes_through(said, line):
    assert describe.one_line(said) == line
    assert line.isprintable()


def test_it_is_cut_after_it_is_cleaned():
    """A message of torch's, whose colours begin before the cut and end behind it."""
    text = describe.one_line("x" * 297 + "\x1b[1mWeights only load failed\x1b[0m")
    assert text == "x" * 297 + "Wei"


@pytest.mark.parametrize("name", ["conv1", "path/to/naïve.py", "conv1\x00", "\x1b[32mconv1\x1b[0m", "a\nb", "n" * 500])
def test_a_name_is_never_turned_into_another(name):
    shown = describe.name_of(name)
    assert shown.isprintable()
    assert len(shown) <= 200
    assert (shown == name) == (name.isprintable() and len(name) <= 200)
    assert shown != "conv1" or name == "conv1"


# Places ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path):
    """A file of theirs that goes wrong in several places."""
    file = tmp_path / "mine.py"
    file.write_text(
        textwrap.dedent(
            """\
            import json
            def itself():
                raise ValueError("mine")
            def in_a_library():
                return json.loads("{")
            def never():
                pass
            """
        )
    )
    space = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    return file, space


def raised(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_place_is_the_innermost_of_their_file(theirs):
    file, space = theirs
    assert describe.describe(raised(space["itself"]), str(file)) == "ValueError: mine at mine.py:3"
    assert describe.describe(raised(space["in_a_library"]), str(file)).endswith(" at mine.py:5")
    assert " at decoder.py:" in describe.describe(raised(space["in_a_library"]))


def test_a_line_of_ours_is_no_place_in_theirs(theirs):
    file, _ = theirs
    assert describe.describe(raised(lambda: json.loads("{")), str(file)).endswith("char 1)")
    assert describe.describe(raised(lambda: json.loads("{")), "").endswith("char 1)")


def test_a_mistake_of_syntax_is_where_the_file_has_it():
    error = raised(lambda: compile("x = 1\ndef (", "/some/where/mine.py", "exec"))
    assert describe.describe(error) == "SyntaxError: invalid syntax at mine.py:2"


def test_pythons_own_import_is_no_place():
    assert "frozen" not in describe.describe(raised(lambda: __import__("a_module_that_nobody_has")))
