"""The page of a training that is running: one document, with a socket to whoever trains."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from netwright.views.page import embedded
from netwright.views.report import module, render


def live_html(page: dict[str, Any], host: str) -> str:
    """The page of `views.page.page`, whose `live.socket` is at `host` (with its port). Nothing else may run
    in it than the views themselves, and nothing be asked of anybody but that socket."""
    policy = (
        f"default-src 'none'; script-src '{module().digest}'; style-src 'unsafe-inline'; img-src data:;"
        f" connect-src ws://{host}/live; base-uri 'none'; form-action 'none'"
    )
    return render("live.html.j2", page=page, policy=policy, data=Markup(embedded(page)))
