"""Files and folders that are written whole or not at all, and locks between processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cmpc import files
from cmpc.errors import UsageError
from cmpc.files import atomic_file, atomic_folder, put_back
from cmpc.locks import only_writer

FORK = multiprocessing.get_context("fork")


def left(folder: Path) -> list[str]:
    """What is hidden there."""
    return sorted(path.name for path in folder.glob(".*"))


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write_text(text)


def write_folder(path: Path, text: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "a.txt").write_text(text)


def text_of(path: Path) -> str:
    return (path / "a.txt").read_text() if path.is_dir() else path.read_text()


WRITERS = {"file": write_text, "folder": write_folder}
Write = Callable[[Path, str], None]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(write: Write, path: Path, at: str) -> int | None:
    """Writes in a process that kills itself when it calls a function of ``cmpc.files`` or ``os``."""

    def work() -> None:
        owner = files if hasattr(files, at) else os
        setattr(owner, at, lambda *_, **__: die())
        write(path, "new")

    process = FORK.Process(target=work)
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are tidied as by a process that has not written there yet."""
    monkeypatch.setattr(files, "_tidied", set())


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_new_content_takes_the_place_of_the_old_and_leaves_nothing_beside_it(write: Write, tmp_path: Path) -> None:
    for text in ("old", "new"):
        write(tmp_path / "target", text)
        assert text_of(tmp_path / "target") == text
    assert left(tmp_path) == []


@pytest.mark.parametrize("context", [atomic_file, atomic_folder])
def test_error_leaves_the_old_content(context: Callable, tmp_path: Path) -> None:
    WRITERS[context.__name__.removeprefix("atomic_")](tmp_path / "target", "old")
    with pytest.raises(RuntimeError), context(tmp_path / "target"):
        raise RuntimeError
    assert text_of(tmp_path / "target") == "old"
    assert left(tmp_path) == []


@pytest.mark.usefixtures("new_process")
@pytest.mark.parametrize(
    ("write", "at"),
    [(write_text, "_finish"), (write_text, "replace"), (write_folder, "_finish"), (write_folder, "exchange")],
)
def test_killed_writer_leaves_the_old_content_and_the_next_one_tidies_up(write: Write, at: str, tmp_path: Path) -> None:
    write(tmp_path / "target", "old")
    assert killed(write, tmp_path / "target", at) == -signal.SIGKILL
    assert text_of(tmp_path / "target") == "old"
    assert left(tmp_path)
    files._tidied.clear()
    write_text(tmp_path / "another", "file of the same folder")
    assert left(tmp_path) == []
    assert text_of(tmp_path / "target") == "old"


@pytest.mark.usefixtures("new_process")
def test_folder_is_put_back_where_a_system_cannot_exchange_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    write_folder(tmp_path / "target", "old")
    rename, calls = os.rename, []

    def work() -> None:
        def count(*names: Path) -> None:
            calls.append(names)
            die() if len(calls) == 2 else rename(*names)

        monkeypatch.setattr(os, "rename", count)
        write_folder(tmp_path / "target", "new")

    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "target").exists()
    put_back(tmp_path)
    assert text_of(tmp_path / "target") == "old"
    assert left(tmp_path) == []
    write_folder(tmp_path / "target", "new")
    assert text_of(tmp_path / "target") == "new"


def test_work_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    began, end = FORK.Event(), FORK.Event()

    def work(began: Event, end: Event) -> None:
        with atomic_file(tmp_path / "slow") as file:
            file.write_text("slow")
            began.set()
            end.wait(20)

    process = FORK.Process(target=work, args=(began, end))
    process.start()
    assert began.wait(20)
    put_back(tmp_path)
    write_text(tmp_path / "fast", "fast")
    end.set()
    process.join()
    assert (tmp_path / "slow").read_text() == "slow"
    assert left(tmp_path) == []


def test_own_work_is_left_alone(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "outer") as outer:
        outer.write_text("outer")
        put_back(tmp_path)
        write_text(tmp_path / "inner", "inner")
    assert (tmp_path / "outer").read_text() == "outer"


def test_files_are_for_all_whom_the_umask_allows(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "secret").touch(mode=0o600)
    write_text(tmp_path / "file", "")
    umask = os.umask(0)
    os.umask(umask)
    for path in (tmp_path / "folder" / "secret", tmp_path / "file"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("length", [200, 255])
def test_names_may_be_as_long_as_the_system_takes_them(length: int, tmp_path: Path) -> None:
    path = tmp_path / ("ä" * (length // 2))
    write_text(path, "text")
    assert path.read_text() == "text"


@pytest.mark.parametrize("context", [atomic_file, atomic_folder])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError("3 written of 5")])
def test_full_disk_names_the_place(context: Callable, error: OSError, tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised, context(tmp_path / "target"):  # noqa: PT011
        raise error
    assert raised.value.filename == str(tmp_path / "target")


def test_folder_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    began, end = FORK.Event(), FORK.Event()

    def work(began: Event, end: Event) -> None:
        with only_writer(tmp_path / "runs" / "out"):
            began.set()
            end.wait(20)

    process = FORK.Process(target=work, args=(began, end))
    process.start()
    assert began.wait(20)
    with (
        pytest.raises(UsageError, match=r"another process writes .*out at this moment"),
        only_writer(tmp_path / "runs" / "out"),
    ):
        pass
    with only_writer(tmp_path / "runs" / "other"):
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with only_writer(tmp_path / "runs" / "out"), only_writer(tmp_path / "runs" / "out"):
        (tmp_path / "runs" / "out").mkdir()
    assert left(tmp_path / "runs") == []


def test_lock_of_a_command_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    with only_writer(tmp_path / "runs" / "new" / "out"):
        pass
    assert list(tmp_path.iterdir()) == []
