"""Files as open() would have made them, several at once or none, and streams that nothing may be renamed onto."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from alexnet_parity.checks import whole
from alexnet_parity.checks.traces import container
from alexnet_parity.reports import files


def write_text(path: Path) -> None:
    files.write(path, "text")


def write_trace(path: Path) -> None:
    container.write(path, {}, {})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("write", [write_text, write_trace])
def test_a_new_file_is_for_those_whom_the_umask_lets_read_it(tmp_path, umask, write):
    write(tmp_path / "new")
    assert mode(tmp_path / "new") == 0o666 & ~umask


@pytest.mark.parametrize("write", [write_text, write_trace])
@pytest.mark.parametrize("kept", [0o600, 0o664, 0o755], ids=oct)
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, write, kept):
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(kept)
    write(tmp_path / "old")
    assert (tmp_path / "old").stat().st_size
    assert mode(tmp_path / "old") == kept


# Several, or none -------------------------------------------------------------------------------------------------------


def make(folder: Path, placed: list[Path], error: type[BaseException] | None = None) -> None:
    with files.together(placed):
        files.write(folder / "a", "a")
        files.write(files.folder(folder / "figures") / "b", "b")
        if error:
            raise error


def test_files_that_are_made_together_come_into_their_places_at_the_end(tmp_path):
    placed: list[Path] = []
    with files.together(placed):
        files.write(tmp_path / "a", "a")
        files.write(files.folder(tmp_path / "figures") / "b", "b")
        assert not placed
        assert not (tmp_path / "a").exists()
    assert placed == [tmp_path / "a", tmp_path / "figures" / "b"]
    assert [path.read_text() for path in placed] == ["a", "b"]
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "b", "figures"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_where_one_of_them_breaks_off_nothing_of_the_others_is_there(tmp_path, error):
    (tmp_path / "a").write_text("before")
    placed: list[Path] = []
    with pytest.raises(error):
        make(tmp_path, placed, error)
    assert not placed
    assert (tmp_path / "a").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_is_interrupted_while_they_are_renamed_knows_which_are_there(tmp_path, monkeypatch):
    def interrupted_at_the_second(part, place):
        if place.name == "b":
            raise KeyboardInterrupt
        os.replace(part, place)

    monkeypatch.setattr(whole, "put", interrupted_at_the_second)
    placed: list[Path] = []
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, placed)
    assert placed == [tmp_path / "a"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_after_them_a_file_is_written_at_once_again(tmp_path):
    with files.together([]):
        pass
    files.write(tmp_path / "a", "a")
    assert (tmp_path / "a").read_text() == "a"


# Before the work --------------------------------------------------------------------------------------------------------


def test_streams_and_devices_are_not_replaced(tmp_path):
    with (tmp_path / "file").open("w") as stream:
        names = [Path("/dev/null"), Path("/dev/stdout"), Path(f"/dev/fd/{stream.fileno()}"), Path("/proc/self/fd/0")]
        (tmp_path / "link").symlink_to(names[2])
        for name in [*names, tmp_path / "link"]:
            with pytest.raises(files.Unwritable, match="a stream or a device"):
                files.check_writable(name)


def test_where_a_link_leads_is_looked_at(tmp_path):
    (tmp_path / "astray").symlink_to(tmp_path / "no" / "folder")
    with pytest.raises(files.Unwritable, match=f"no folder {tmp_path / 'no'}"):
        files.check_writable(tmp_path / "astray")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(files.Unwritable, match="circle"):
        files.check_writable(tmp_path / "circle")


def test_a_place_for_figures_that_cannot_take_them_is_told_before_the_work(tmp_path, monkeypatch):
    report = tmp_path / "r.md"
    files.check_figures(report)
    (tmp_path / "figures").touch()
    with pytest.raises(files.Unwritable, match="figures is no folder"):
        files.check_figures(report)
    (tmp_path / "figures").unlink()
    (tmp_path / "figures").mkdir()
    files.check_figures(report)
    assert not list((tmp_path / "figures").iterdir())
    monkeypatch.setattr(files.os, "access", lambda path, _: Path(path).name != "figures")
    with pytest.raises(files.Unwritable, match="no permission to write in"):
        files.check_figures(report)
