"""The few exceptions that a user meets; everything else is a bug and crashes loudly."""

from __future__ import annotations


class NetwrightError(Exception):
    """What went wrong, where, and what to do, in one sentence; `exit_code` is the process's."""

    exit_code = 2
    kind = "user"

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = self.file or ""
        if self.file and self.line:
            where += f":{self.line}"
        return f"{where}: {self.message}" if where else self.message

    def document(self) -> dict[str, dict[str, object]]:
        """The JSON of DESIGN: `{"error": {"kind", "message", "file", "line"}}`."""
        return {"error": {"kind": self.kind, "message": str(self), "file": self.file, "line": self.line}}


class UserError(NetwrightError):
    """The user's input is wrong (exit 2)."""


class JournalError(UserError):
    """The journal cannot be read or written (exit 2)."""

    kind = "journal"


class UserCodeError(NetwrightError):
    """The user's own code raised (exit 3); `traceback` holds the user's frames only, as text. The message
    already says where."""

    exit_code = 3
    kind = "user-code"

    def __init__(
        self, message: str, *, traceback: str, file: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, file=file, line=line)
        self.traceback = traceback

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:  # travels from a worker process whole
        return (_user_code_error, (self.message, self.traceback, self.file, self.line))


def _user_code_error(message: str, traceback: str, file: str | None, line: int | None) -> UserCodeError:
    return UserCodeError(message, traceback=traceback, file=file, line=line)
