"""Write docs/catalogue.md from the docstrings of the checks, ideas and edits: `make docs`.

With `--check` nothing is written; the exit code is 1 where the page is not what the docstrings say.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from netwright.catalogue import Catalogue, Check, EditKind, Idea

PAGE = Path(__file__).with_name("catalogue.md")


def page() -> str:
    """The whole page as Markdown."""
    catalogue = Catalogue.collect()
    checks = "\n".join(_check(c) for c in sorted(catalogue.checks.values(), key=lambda c: c.id))
    ideas = "\n".join(_idea(i) for i in sorted(catalogue.ideas.values(), key=lambda i: (i.attribute, i.id)))
    edits = "\n".join(_edit(e) for e in sorted(catalogue.edits.values(), key=lambda e: e.id))
    return f"""# What is in the catalogues

Generated from docstrings by `make docs`; each entry is one function, and yours are added by one decorator
([adding to it](extending.md)).

## Checks

A check sees evidence and names a cause. Thresholds, sources and measured rates: [diagnosis](diagnosis.md).

{checks}
## Ideas

An idea proposes a change of one attribute. `late` ideas are never dropped before their own
schedule has ended.

{ideas}
## Kinds of edit

What ideas, repairs and later surgery are made of; recipes carry them by id.

{edits}"""


def _check(check: Check) -> str:
    summary, _ = _parts(check.function)
    return f"- [**{check.id}**](diagnosis.md#{check.id}): {summary}"


def _idea(idea: Idea) -> str:
    summary, _ = _parts(idea.function)
    addresses = f" *Addresses:* {', '.join(f'`{a}`' for a in idea.addresses)}." if idea.addresses else ""
    late = ", late" if idea.late else ""
    return f"- **{idea.id}** (`{idea.attribute}`{late}): {summary}{addresses} *Source:* {idea.source}\n"


def _edit(edit: EditKind) -> str:
    names = list(inspect.signature(edit.function).parameters)
    parameters = [name for name in names[edit.on != "edits" :] if name != "seed"]
    summary = _parts(edit.function)[0]
    return f"- **{edit.id}** ({', '.join(parameters) or 'no parameters'}), on the {edit.on}: {summary}\n"


def _parts(function: object) -> tuple[str, str]:
    """The summary as one line, and the paragraphs below it."""
    summary, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    return " ".join(summary.split()), rest.strip()


def main() -> int:
    text = page()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != text:
            print("docs/catalogue.md is not what the docstrings say; run make docs", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
