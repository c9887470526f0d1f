"""The journal: an append-only store that a killed process leaves readable and another one resumes from."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, get_args

import numpy as np
from sqlalchemy import Connection, Executable, Table, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError

from netwright.journal import schema
from netwright.journal.artifacts import Artifacts, digest_of, pack_arrays, pack_weights, unpack_arrays
from netwright.journal.errors import damaged, in_words
from netwright.values import Event, JournalError, from_json, to_json

T = TypeVar("T")

_PAGE = 500  # events read at a time
_KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}


class Journal:
    """One folder with `journal.db` and `runs/`. Several processes may write; each opens its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.db"
        absolute = folder.absolute()  # the user's code may change the working folder later
        self._folder = absolute
        self._engine = schema.connect(absolute / "journal.db")
        self._artifacts = Artifacts(absolute / "runs")

    @staticmethod
    def open(folder: Path) -> Journal:
        """The journal in `folder`, made where there is none; `JournalError` says why it cannot be used."""
        folder = Path(folder)
        with in_words(folder):
            folder.mkdir(parents=True, exist_ok=True)
            ignore = folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        journal = Journal(folder)
        try:
            with in_words(journal._path):
                schema.prepare(journal._engine, journal._path)
        except BaseException:
            journal.close()
            raise
        return journal

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Sessions: one call of a verb, with its events.

    def begin(self, verb: str, recipe: str, fingerprint: str, arguments: Mapping[str, Any], at: str) -> int:
        """A new session; `at` is the ISO time at which the verb was called."""
        row = {
            "verb": verb,
            "recipe": _text(recipe),
            "fingerprint": fingerprint,
            "arguments": _dumps(arguments),
            "at": at,
        }
        with self._writing() as connection:
            created = connection.execute(insert(schema.sessions).values(row).returning(schema.sessions.c.id))
            return int(created.scalar_one())

    def unfinished(self, verb: str, fingerprint: str, arguments: Mapping[str, Any]) -> int | None:
        """The newest session of exactly this that never finished: the one to resume."""
        table = schema.sessions
        query = select(func.max(table.c.id)).where(
            table.c.verb == verb,
            table.c.fingerprint == fingerprint,
            table.c.arguments == _dumps(arguments),
            table.c.outcome.is_(None),
        )
        return self._one(query)[0]

    def latest(self, verb: str, fingerprint: str, arguments: Mapping[str, Any]) -> int | None:
        """The newest session of exactly this, whether it finished or not."""
        table = schema.sessions
        query = select(func.max(table.c.id)).where(
            table.c.verb == verb,
            table.c.fingerprint == fingerprint,
            table.c.arguments == _dumps(arguments),
        )
        return self._one(query)[0]

    def append(self, session: int, *events: Event) -> None:
        """Keep events, all or none; when this returns, a killed process no longer loses them."""
        for event in events:
            if type(event).__name__ not in _KINDS:
                raise TypeError(f"{type(event).__name__} is no event")
        rows = [{"kind": type(event).__name__, "body": _dumps(event)} for event in events]
        self._follow(schema.events, session, rows)

    def _follow(self, table: Table, session: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of a session with the numbers after the last one."""
        last = select(func.coalesce(func.max(table.c.sequence), 0)).where(table.c.session == session)
        with self._writing() as connection:
            first = int(connection.execute(last).scalar_one()) + 1
            numbered = [{"session": session, "sequence": first + n, **row} for n, row in enumerate(rows)]
            try:
                connection.execute(insert(table), numbered)
            except IntegrityError:
                raise ValueError(f"there is no session {session} in this journal") from None

    def events(self, session: int) -> Iterator[Event]:
        """The events of a session in their order; what is appended meanwhile is met too."""
        for _, event in self.events_after(session, 0):
            yield event

    def events_after(self, session: int, last: int) -> Iterator[tuple[int, Event]]:
        """The events of a session behind the one that has the number `last`, with their numbers, from 1."""
        table = schema.events
        while True:
            query = (
                select(table.c.sequence, table.c.kind, table.c.body)
                .where(table.c.session == session, table.c.sequence > last)
                .order_by(table.c.sequence)
                .limit(_PAGE)
            )
            rows = self._all(query)
            for sequence, kind, body in rows:
                yield sequence, self._event(session, sequence, kind, body)
                last = sequence
            if len(rows) < _PAGE:
                return

    # Commands: to the process that works on a session, from whoever watches it.

    def command(self, session: int, command: Mapping[str, Any], at: str) -> None:
        """Leave a command for the process that works on a session; `at` is the ISO time now."""
        self._follow(schema.commands, session, [{"command": _dumps(command), "at": at, "taken": 0}])

    def commands_after(self, session: int, last: int) -> list[tuple[int, dict[str, Any]]]:
        """Commands behind the one that has the number `last`, with their numbers, in their order."""
        table = schema.commands
        query = select(table.c.sequence, table.c.command).where(
            table.c.session == session, table.c.sequence > last
        )
        return [(row[0], self._loads(row[1])) for row in self._all(query.order_by(table.c.sequence))]

    def stamp(self) -> object:
        """Another value after a write, whoever wrote; much cheaper than to read. Two writes within the same
        tick of the file system's clock may have one."""
        found: list[tuple[int, int]] = []
        for name in ("journal.db-wal", "journal.db"):
            with contextlib.suppress(OSError):
                of = os.stat(self._folder / name)
                found.append((of.st_mtime_ns, of.st_size))
        return found

    def take(self, session: int, last: int) -> None:
        """The commands up to this number were taken: who works on the session next begins behind them."""
        table = schema.commands
        which = (table.c.session == session) & (table.c.sequence <= last)
        with self._writing() as connection:
            connection.execute(update(table).where(which).values(taken=1))

    def taken(self, session: int) -> int:
        """The number of the last command that was taken, 0 for none."""
        table = schema.commands
        query = select(func.coalesce(func.max(table.c.sequence), 0))
        return int(self._one(query.where(table.c.session == session, table.c.taken == 1))[0])

    def _event(self, session: int, sequence: int, kind: str, body: str) -> Event:
        where = f"event {sequence} of session {session}"
        if kind not in _KINDS:
            raise JournalError(
                f"{where} is a {kind!r}, which this version does not know; update Netwright, or"
                " name another folder with --journal",
                file=str(self._path),
            )
        try:
            return from_json(json.loads(body), _KINDS[kind])
        except (ValueError, TypeError, KeyError, ExceptionGroup):
            raise damaged(self._path, f"{where} cannot be read") from None

    def finish(self, session: int, outcome: str, document: Mapping[str, Any]) -> None:
        """The session ended, with this document; it ends once."""
        table = schema.sessions
        change = update(table).where(table.c.id == session, table.c.outcome.is_(None))
        with self._writing() as connection:
            result = connection.execute(change.values(outcome=outcome, document=_dumps(document)))
        if result.rowcount != 1:
            raise ValueError(f"session {session} is not in this journal, or has already ended")

    def sessions(self) -> list[dict[str, Any]]:
        """Newest first: id, verb, recipe, fingerprint, at, and the outcome or `None`."""
        c = schema.sessions.c
        query = select(c.id, c.verb, c.recipe, c.fingerprint, c.at, c.outcome).order_by(c.id.desc())
        return [dict(row._mapping) for row in self._all(query)]

    def document(self, session: int) -> dict[str, Any] | None:
        """What the session ended with; `None` where it has not ended."""
        table = schema.sessions
        rows = self._all(select(table.c.document).where(table.c.id == session))
        return self._loads(rows[0][0]) if rows and rows[0][0] is not None else None

    # Finished trainings: a row, and files that are whole before the row is there.

    def remember(
        self,
        key: str,
        document: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Keep a finished training. One that is already kept whole stays as it is, whoever kept it.

        Files are written, which is slow, before the lock is taken; under it they are renamed and get a row.
        """
        if self._kept(self._run(key), weights is not None):
            return
        parts = [(self._artifacts.arrays_path(key), pack_arrays(arrays))]
        if weights is not None:
            parts.append((self._artifacts.weights_path(key), pack_weights(weights)))
        digests = [digest_of(content) for _, content in parts]
        values = {
            "fingerprint": str(document.get("fingerprint", "")),
            "document": _dumps(document),
            "arrays_digest": digests[0],
        }
        if weights is not None:  # without new ones, weights that were kept stay
            values["weights_digest"] = digests[1]
        table, written = schema.runs, []
        try:
            with in_words(self._artifacts.folder):
                for path, content in parts:
                    written.append((self._artifacts.put_down(path, content), path))
            with self._writing() as connection:
                if self._kept(self._run(key, connection), weights is not None):
                    return
                with in_words(self._artifacts.folder):
                    for temporary, path in written:
                        self._artifacts.rename(temporary, path)
                row = upsert(table).values(key=key, **values)
                connection.execute(row.on_conflict_do_update(index_elements=["key"], set_=values))
        finally:
            for temporary, _ in written:
                self._artifacts.discard(temporary)

    def recall(self, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Document and arrays of a finished training; `None` where its files are not what was written."""
        row = self._run(key)
        if row is None:
            return None
        content = self._artifacts.read(self._artifacts.arrays_path(key), row.arrays_digest)
        return None if content is None else (self._loads(row.document), unpack_arrays(content))

    def weights(self, key: str) -> Path | None:
        """The safetensors file of a finished training; `None` where there is none or it is damaged."""
        row = self._run(key)
        return self._artifacts.weights_path(key) if row is not None and self._weights_kept(row) else None

    def runs(self, fingerprint: str) -> list[dict[str, Any]]:
        """Documents of the finished trainings of one fingerprint, oldest first."""
        table = schema.runs
        query = select(table.c.document).where(table.c.fingerprint == fingerprint).order_by(table.c.id)
        return [self._loads(row.document) for row in self._all(query)]

    def _run(self, key: str, connection: Connection | None = None) -> Any | None:
        query = select(schema.runs).where(schema.runs.c.key == key)
        return connection.execute(query).first() if connection is not None else self._first(query)

    def _kept(self, row: Any | None, with_weights: bool) -> bool:
        if row is None or (with_weights and not self._weights_kept(row)):
            return False
        return self._artifacts.read(self._artifacts.arrays_path(row.key), row.arrays_digest) is not None

    def _weights_kept(self, row: Any) -> bool:
        if row.weights_digest is None:
            return False
        return self._artifacts.read(self._artifacts.weights_path(row.key), row.weights_digest) is not None

    # Test samples: every look is counted; the split stays what it was.

    def look(self, samples: str, by: str, at: str, key: str) -> int:
        """Note a look at test samples; say which it is. A `key` that looked before gets its number again."""
        table = schema.looks
        note = upsert(table).values(samples=samples, by=by, at=at, key=key).on_conflict_do_nothing()
        mine = select(table.c.id).where(table.c.samples == samples, table.c.key == key).scalar_subquery()
        with self._writing() as connection:
            connection.execute(note)
            count = select(func.count()).where(table.c.samples == samples, table.c.id <= mine)
            return int(connection.execute(count).scalar_one())

    def looks(self, samples: str) -> int:
        """How many distinct looks there were at these samples."""
        return int(self._one(select(func.count()).where(schema.looks.c.samples == samples))[0])

    def keep_split(self, data: str, ids: Mapping[str, Sequence[str]]) -> None:
        """Keep a split by sample id; the first one kept for these data stays."""
        row = upsert(schema.splits).values(
            data=data, ids=_dumps({part: list(of) for part, of in ids.items()})
        )
        with self._writing() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def split(self, data: str) -> dict[str, list[str]] | None:
        row = self._first(select(schema.splits.c.ids).where(schema.splits.c.data == data))
        return None if row is None else self._loads(row.ids)

    # The file: one transaction a call, errors in words.

    @contextmanager
    def _writing(self) -> Generator[Connection, None, None]:
        with (
            in_words(self._path),
            self._engine.connect().execution_options(write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def _read(self, query: Executable, fetch: Callable[[Any], T]) -> T:
        with in_words(self._path), self._engine.connect() as connection:
            return fetch(connection.execute(query))

    def _all(self, query: Executable) -> Sequence[Any]:
        return self._read(query, lambda result: result.all())

    def _first(self, query: Executable) -> Any | None:
        return self._read(query, lambda result: result.first())

    def _one(self, query: Executable) -> Any:
        return self._read(query, lambda result: result.one())

    def _loads(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise damaged(self._path, "a document in it cannot be read") from None


def _dumps(value: Any) -> str:
    """JSON in ASCII, equal for equal values: also text with broken surrogates survives the way."""
    return json.dumps(to_json(value), sort_keys=True, allow_nan=False)


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()
