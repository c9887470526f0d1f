"""Write docs/ports.md from the catalogue of targets and the known differences between them: `make docs`.

With `--check` nothing is written; the exit code is 1 where the page is not what the catalogue says.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from netwright.app.porting import ORDER
from netwright.catalogue import Catalogue, Target
from netwright.ports.difference import Difference
from netwright.ports.differences import differences

PAGE = Path(__file__).with_name("ports.md")


def page() -> str:
    """The whole page as Markdown."""
    targets = sorted(Catalogue.collect().targets.values(), key=lambda t: ORDER.index(t.id))
    rows = "\n".join(_target(target) for target in targets)
    of = {target.id: [d for d in differences() if target.id in d.targets] for target in targets}
    tables = "\n".join(_differences(target, of[target.id]) for target in targets if of[target.id])
    shown = "(`tests/ports/test_differences.py` and `…_phones.py`, Caffe's in `tests/ports/caffe/`)"
    return f"""# The technologies, and what they do differently

Generated from the catalogue by `make docs`. How to port a network: [port](port.md); yours is added by
[one decorated function](extending.md#a-target).

| target | is | made from | needs | inputs at a time | layers are read |
| --- | --- | --- | --- | --- | --- |
{rows}

Where a technology lets every layer be read, one run compares them all; where it does not, a port that also
returns the layers is made for the comparison and thrown away.

## What they do differently

Each line is shown by a test of its name {shown}. What the port does about it itself stands in the third
column; where that is empty, `netwright port --plan` tells of it and of the layers it meets, and a port that
diverges there names it as the likely reason.

{tables}"""


def _target(target: Target) -> str:
    summary = " ".join((inspect.getdoc(target.function) or "").split("\n\n")[0].split())
    needs = ", ".join(f"`{name}`" for name in target.needs) or "nothing more"
    source = "ONNX" if target.source == "onnx" else "the program"
    batch = "one" if target.batch == "one" else "any"
    taps = "in one run" if target.taps == "free" else "by a port of their own"
    return f"| `{target.id}` | **{target.title}**: {summary} | {source} | {needs} | {batch} | {taps} |"


def _differences(target: Target, found: list[Difference]) -> str:
    rows = "\n".join(
        f"| <a id='{target.id}-{d.id}'></a>`{d.id}` | {d.what} | {d.handled} | {d.remedy}"
        f" | {_source(d.source)} |"
        for d in found
    )
    return (
        f"### {target.title}\n\n| id | what differs | what the port does | remedy | source |\n"
        f"| --- | --- | --- | --- | --- |\n{rows}\n"
    )


def _source(source: str) -> str:
    return f"<{source}>" if source.startswith("https://") else source


if __name__ == "__main__":
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/ports.md is not what the catalogue says; run make docs")
