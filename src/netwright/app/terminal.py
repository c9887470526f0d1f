"""From a result to what the terminal prints."""

from __future__ import annotations

from typing import Any

from netwright import values


def renderable(result: Any) -> Any:
    """The rich renderable of any result."""
    from netwright.views import atlas, ports, terminal
    from netwright.views.listing import listing

    match result:
        case values.ImproveResult():
            return terminal.improve_lines(result)
        case values.DiagnoseResult():
            return terminal.diagnose_view(result)
        case values.ProbeResult():
            return terminal.probe_view(result)
        case values.ScanResult():
            return terminal.scan_view(result)
        case values.LookResult(atlas=values.Atlas()) if not result.lines_asked:
            return atlas.look_view(result)
        case values.LookResult():
            return listing(result)
        case values.Ports():
            return ports.port_view(result)
        case values.AttributesResult():
            return terminal.attributes_table(result)
        case _:
            raise TypeError(f"no view of {type(result).__name__}")
