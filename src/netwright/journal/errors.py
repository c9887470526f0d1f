"""What SQLite and the file system say, turned into the one sentence that a user can act on."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, IntegrityError

from netwright.values import JournalError

ELSEWHERE = "name another folder with --journal"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def in_words(path: Path) -> Generator[None, None, None]:
    """Errors of SQLite and of the file system in this block leave it as a `JournalError` about `path`."""
    try:
        yield
    except IntegrityError:
        raise  # a mistake of the caller, not a state of the file
    except DBAPIError as error:
        raise JournalError(_of_sqlite(error.orig, path), file=str(path)) from None
    except sqlite3.Error as error:
        raise JournalError(_of_sqlite(error, path), file=str(path)) from None
    except OSError as error:
        about = Path(error.filename) if isinstance(error.filename, str) else path
        raise JournalError(_of_system(error), file=str(about)) from None


def damaged(path: Path, what: str) -> JournalError:
    """The journal can no longer be read as one; what it says of the finished trainings is still true."""
    return JournalError(
        f"this journal is damaged ({what}); move it away and start again:"
        f" the trainings finished so far are in {path.parent / 'runs'}, nothing there was changed",
        file=str(path),
    )


def _of_sqlite(error: BaseException | None, path: Path) -> str:
    name = getattr(error, "sqlite_errorname", None) or ""
    said = str(error)
    if name.startswith("SQLITE_FULL") or "is full" in said:
        return "the disk is full; free some space and run the same command again, it resumes where it stopped"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "is locked" in said:
        return (
            "another process has kept the journal locked for half a minute; let it finish or end it,"
            " then run the same command again"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "SQLITE_AUTH")):
        return f"the journal cannot be written here ({said}); make the folder writable, or {ELSEWHERE}"
    if name.startswith("SQLITE_IOERR"):
        return f"the disk does not answer as it should ({said}); check it, or {ELSEWHERE}"
    return damaged(path, said).message


def _of_system(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return (
            f"there is no space left here ({reason}); free some and run the same command again,"
            " it resumes where it stopped"
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"the journal needs a folder here and this is a file; move it away, or {ELSEWHERE}"
    return f"the journal cannot be written here ({reason}); make the folder writable, or {ELSEWHERE}"
