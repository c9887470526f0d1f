"""Broken files, full disks, killed processes, several writers: readable, or said in words."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.journal import Journal
from netwright.values import JournalError, Note

APPEND_FOREVER = """
import sys
from pathlib import Path
from netwright.journal import Journal
from netwright.values import Note
journal = Journal.open(Path(sys.argv[1]))
session = journal.begin("improve", "r", "f", {}, "t")
n = 0
while True:
    journal.append(session, Note(str(n)))
    n += 1
    if n % 50 == 0:
        print(n, flush=True)
"""

APPEND_MANY = """
import sys
from pathlib import Path
import numpy as np
from netwright.journal import Journal
from netwright.values import Note
sys.stdin.readline()
with Journal.open(Path(sys.argv[1])) as journal:
    session = journal.begin("improve", "r", "f", {}, "t")
    for n in range(100):
        journal.append(session, Note(f"own {n}"))
        document = {"fingerprint": "f", "by": sys.argv[2]}
        journal.remember(f"run-{n % 20}", document, {"x": np.full(3, int(sys.argv[2]))})
        journal.look("s", "improve", "t", f"{n % 20}")
"""


def message_of(folder: Path) -> str:
    with pytest.raises(JournalError) as caught:
        Journal.open(folder)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "sqlalchemy" not in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_process_killed_while_appending_loses_nothing_it_had_appended(folder: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", APPEND_FOREVER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout:
        for _ in range(4):
            reached = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        reached = max([reached, *(int(line) for line in writer.stdout if line.strip())])
    assert writer.wait() == -signal.SIGKILL
    with Journal.open(folder) as journal:
        session = journal.unfinished("improve", "f", {})
        assert session is not None
        kept = [int(e.text) for e in journal.events(session) if isinstance(e, Note)]
        assert kept == list(range(len(kept))) and len(kept) >= reached
        journal.append(session, Note("resumed"))


def test_processes_that_begin_and_write_together_lose_nothing(folder: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(folder), str(n)], stdin=subprocess.PIPE)
        for n in range(3)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()  # all are held until here
    for writer in writers:
        writer.wait()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with Journal.open(folder) as journal:
        for session in journal.sessions():
            assert list(journal.events(session["id"])) == [Note(f"own {n}") for n in range(100)]
        assert len(journal.runs("f")) == 20
        assert journal.looks("s") == 20
        for n in range(20):
            recalled = journal.recall(f"run-{n}")
            assert recalled is not None
            assert recalled[1]["x"].tolist() == [int(recalled[0]["by"])] * 3


def test_two_that_append_to_one_session_get_an_order(folder: Path) -> None:
    with Journal.open(folder) as one, Journal.open(folder) as two:
        session = one.begin("improve", "r", "f", {}, "t")
        for n in range(20):
            (one if n % 2 else two).append(session, Note(str(n)))
        assert list(two.events(session)) == [Note(str(n)) for n in range(20)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=1, max_size=4000).filter(lambda b: not b.startswith(b"SQLite format 3")))
def test_garbage_in_its_place_is_named_and_left_alone(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    path = folder / "journal.db"
    path.write_bytes(garbage)
    message = message_of(folder)
    assert message.startswith(f"{path}: ") and "damaged" in message and f"{folder / 'runs'}" in message
    assert path.read_bytes() == garbage


def fill(folder: Path) -> Path:
    with Journal.open(folder) as journal:
        session = journal.begin("improve", "r", "f", {}, "t")
        for n in range(300):
            journal.append(session, Note("x" * 100 + str(n)))
        journal.remember("k", {"fingerprint": "f"}, {"x": np.arange(3)})
    return folder / "journal.db"


def test_a_page_of_noise_is_met_as_a_damaged_journal(folder: Path) -> None:
    path = fill(folder)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(JournalError, match="damaged"), Journal.open(folder) as journal:
        session = journal.sessions()[0]["id"]
        list(journal.events(session))


def test_a_cut_journal_is_met_as_a_damaged_one(folder: Path) -> None:
    path = fill(folder)
    path.write_bytes(path.read_bytes()[:9000])
    with (
        pytest.raises(JournalError, match=r"damaged.*trainings finished so far"),
        Journal.open(folder) as journal,
    ):
        session = journal.sessions()[0]["id"]
        list(journal.events(session))
    assert (folder / "runs" / "k.npz").exists()


def change(folder: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("body", ["{", "[]", '{"text": ', '{"other": 1}'])
def test_an_event_that_cannot_be_read_is_named(folder: Path, body: str) -> None:
    fill(folder)
    change(folder, "UPDATE events SET body = ? WHERE sequence = 7", body)
    with Journal.open(folder) as journal, pytest.raises(JournalError, match="event 7 of session 1"):
        list(journal.events(1))


def test_an_event_of_a_later_version_is_named(folder: Path) -> None:
    fill(folder)
    change(folder, "UPDATE events SET kind = 'Teleported' WHERE sequence = 7")
    with (
        Journal.open(folder) as journal,
        pytest.raises(JournalError, match="update Netwright"),
    ):
        list(journal.events(1))


def test_a_journal_of_a_later_version_is_refused(folder: Path) -> None:
    fill(folder)
    change(folder, "UPDATE schema_version SET version = 99")
    assert "written by a newer Netwright" in message_of(folder)


def test_a_database_of_somebody_else_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    change(folder, "CREATE TABLE accounts (id INTEGER)")
    content = (folder / "journal.db").read_bytes()
    assert "not a journal" in message_of(folder)
    assert (folder / "journal.db").read_bytes() == content


def test_a_file_in_the_place_of_the_folder_is_named(folder: Path) -> None:
    folder.write_text("mine")
    assert message_of(folder).startswith(f"{folder}: the journal needs a folder here and this is a file")
    assert folder.read_text() == "mine"


def test_a_file_on_the_way_to_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "this is a file" in message_of(tmp_path / "file" / ".netwright")


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="a folder that nobody can write to, root included"
)
def test_a_folder_that_cannot_be_written_is_named() -> None:
    assert "cannot be written here" in message_of(Path("/proc/self/.netwright"))


def test_a_folder_in_the_place_of_the_file_is_named(folder: Path) -> None:
    (folder / "journal.db").mkdir(parents=True)
    assert message_of(folder).startswith(f"{folder / 'journal.db'}: the journal cannot be written here")


def test_a_full_disk_under_the_database_is_said_and_loses_nothing(journal: Journal) -> None:
    session = journal.begin("improve", "r", "f", {}, "t")
    journal.append(session, Note("before"))
    with journal._engine.connect() as connection:  # SQLite's own limit gives SQLITE_FULL
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    with pytest.raises(JournalError, match="the disk is full") as caught:
        journal.append(session, Note("x" * 1_000_000))
    assert caught.value.__suppress_context__
    assert list(journal.events(session)) == [Note("before")]


def test_a_full_disk_under_the_artifacts_is_said_and_leaves_nothing_half(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(JournalError, match="no space left"):
            journal.remember("k", {}, {"x": np.arange(3)})
    assert list((folder / "runs").iterdir()) == []
    assert journal.recall("k") is None
    journal.remember("k", {}, {"x": np.arange(3)})
    assert journal.recall("k") is not None


def test_a_kill_between_the_files_and_the_row_leaves_it_untrained(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("netwright.journal.store.upsert", killed)
        with pytest.raises(KeyboardInterrupt):
            journal.remember("k", {"fingerprint": "f"}, {"x": np.arange(3)}, {"w": np.ones(2)})
    assert journal.recall("k") is None and journal.weights("k") is None
    journal.remember("k", {"fingerprint": "f"}, {"x": np.arange(3)}, {"w": np.ones(2)})
    assert journal.recall("k") is not None and journal.weights("k") is not None


def test_documents_are_plain_json_in_the_file(folder: Path) -> None:
    path = fill(folder)
    connection = sqlite3.connect(path)
    [(body,)] = connection.execute("SELECT body FROM events WHERE sequence = 1").fetchall()
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    assert json.loads(body) == {"text": "x" * 100 + "0"}
    assert mode == "wal"
