"""The page of a training that is running: one document, with a socket to whoever trains."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import Any

from markupsafe import Markup

from netwright.views.page import embedded
from netwright.views.report import render


def live_html(page: dict[str, Any], host: str) -> str:
    """The page of `views.page.page`, whose `live.socket` is at `host` (with its port). Nothing else may run
    in it than the views themselves, and nothing be asked of anybody but that socket."""
    script, digest = _script()
    policy = (
        f"default-src 'none'; script-src '{digest}'; style-src 'unsafe-inline'; img-src data:;"
        f" connect-src ws://{host}/live; base-uri 'none'; form-action 'none'"
    )
    return render(
        "live.html.j2", page=page, policy=policy, script=Markup(script), data=Markup(embedded(page))
    )


@functools.cache
def _script() -> tuple[str, str]:
    """The module of the views as it stands in a page, and the hash that a policy allows it by."""
    text = (resources.files("netwright.views") / "static" / "netwright.js").read_text(encoding="utf-8")
    text = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    digest = hashlib.sha256(text.encode()).digest()
    return text, f"sha256-{base64.b64encode(digest).decode()}"
