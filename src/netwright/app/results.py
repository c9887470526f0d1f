"""The results that users hold: the values, with a notebook's page and a JSON document."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from netwright import values


class _Shown:
    def to_json(self) -> Any:
        """The document of the interface."""
        return values.to_json(self)

    def __str__(self) -> str:
        """What the terminal shows, without colour."""
        import io

        from rich.console import Console

        from netwright.app.terminal import renderable

        out = io.StringIO()
        Console(file=out, width=100, no_color=True, highlight=False).print(renderable(self))
        return out.getvalue()

    __repr__ = __str__


@frozen(repr=False, str=False)
class ImproveResult(_Shown, values.ImproveResult):
    """What `improve` returns; `attributes` are those of the recipe as the user wrote it."""

    attributes: values.AttributesResult | None = field(default=None, kw_only=True)

    def to_json(self) -> Any:
        document = values.to_json(self)
        document.pop("attributes", None)
        return document

    def _repr_html_(self) -> str:
        from netwright.views.report import frame, report_html

        return frame(report_html(self, self.attributes), 900)


@frozen(repr=False, str=False)
class DiagnoseResult(_Shown, values.DiagnoseResult):
    """What `diagnose` returns."""

    def _repr_html_(self) -> str:
        from netwright.views.report import diagnose_html, frame

        return frame(diagnose_html(self), 600)


@frozen(repr=False, str=False)
class ProbeResult(_Shown, values.ProbeResult):
    """What a single probe returns."""


@frozen(repr=False, str=False)
class ScanResult(_Shown, values.ScanResult):
    """What `scan` returns."""


@frozen(repr=False, str=False)
class LookResult(_Shown, values.LookResult):
    """What `look` returns."""

    def _repr_html_(self) -> str:
        from netwright.views.report import frame, look_html

        return frame(look_html(self), 600)


@frozen(repr=False, str=False)
class AttributesResult(_Shown, values.AttributesResult):
    """What `attributes` returns."""
