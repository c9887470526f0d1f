"""The tables of `journal.db`, and how an empty or unknown file becomes or fails to become one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)

from netwright.journal.errors import ELSEWHERE, damaged
from netwright.values import JournalError

VERSION = 2  # 2: commands
BUSY_SECONDS = 30
_MAGIC = b"SQLite format 3\0"

_metadata = MetaData()

versions = Table("schema_version", _metadata, Column("version", Integer, nullable=False))

sessions = Table(
    "sessions",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("verb", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column(
        "arguments", Text, nullable=False
    ),  # JSON with sorted keys, so that equal arguments are equal text
    Column("at", String, nullable=False),
    Column("outcome", String),
    Column("document", Text),
    Index("sessions_by_fingerprint", "fingerprint", "verb"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    _metadata,
    Column("session", ForeignKey("sessions.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("body", Text, nullable=False),
)

commands = Table(
    "commands",
    _metadata,
    Column("session", ForeignKey("sessions.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("command", Text, nullable=False),
    Column("at", String, nullable=False),
    Column("taken", Integer, nullable=False),
)

runs = Table(
    "runs",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("fingerprint", String, nullable=False, index=True),
    Column("document", Text, nullable=False),
    Column("arrays_digest", String, nullable=False),
    Column("weights_digest", String),
)

looks = Table(
    "looks",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("samples", String, nullable=False),
    Column("key", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", String, nullable=False),
    Index("looks_by_samples", "samples", "key", unique=True),
    sqlite_autoincrement=True,
)

splits = Table(
    "splits",
    _metadata,
    Column("data", String, primary_key=True),
    Column("ids", Text, nullable=False),
)


def connect(path: Path) -> Engine:
    """An engine on `path`; with the option `write=True` a connection takes the write lock as it begins.

    Python's own transaction handling is switched off: it would begin late, and a reading transaction that
    then writes is refused at once by SQLite instead of waiting for the other writer.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def prepare(engine: Engine, path: Path) -> None:
    """Make the tables where there are none, and those that an older version lacks; refuse what is no
    journal or was written by a newer Netwright."""
    database = Path(str(engine.url.database))
    start = b""
    if database.is_file():
        with database.open("rb") as file:
            start = file.read(len(_MAGIC))
    if start and start != _MAGIC:  # SQLite itself takes a file of one zero byte for an empty database
        raise damaged(path, "file is not a database")
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        present = inspect(connection).get_table_names()
        if not present:
            _metadata.create_all(connection)
            connection.execute(insert(versions).values(version=VERSION))
        elif versions.name not in present:
            said = f"this is a SQLite database, but not a journal of Netwright; move it away, or {ELSEWHERE}"
            raise JournalError(said, file=str(path))
        found = connection.execute(select(versions.c.version)).scalar_one_or_none()
        if found is not None and found < VERSION:  # what is new since then are tables of their own
            _metadata.create_all(connection)
            connection.execute(update(versions).values(version=VERSION))
    if found is None or found > VERSION:
        said = (
            f"written by a newer Netwright (version {found} of the journal, this one reads up to {VERSION})"
        )
        raise JournalError(f"{said}; update Netwright, or {ELSEWHERE}", file=str(path))
    _write_ahead(engine)


def _write_ahead(engine: Engine) -> None:
    """Switch to write-ahead logging, which readers and a killed writer survive; it stays so for good.

    SQLite refuses the switch while anybody else is at work instead of waiting. Waiting for the write lock in
    between is a wait without a clock. A file system that cannot do it keeps the slower journal, as safe.
    """
    for attempt in range(100):
        raw = engine.raw_connection()
        try:
            cursor = raw.cursor()
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except Exception as error:
            if "locked" not in str(error) or attempt == 99:
                raise
        finally:
            raw.close()
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            pass
