"""Figures and tables, each made once and shown everywhere: in the terminal, in a notebook, in a page on disk.

In come results and events, out go renderables of rich, pictures, and HTML pages with the data of their
views. This room computes nothing about networks: what a result does not hold is not shown, and what was not
measured is said in words.
"""

from netwright.views.progress import Progress
from netwright.views.report import diagnose_html, frame, look_html, report_html
from netwright.views.terminal import (
    attributes_table,
    changes_table,
    diagnose_view,
    finding_block,
    improve_lines,
    listing,
    overview_line,
    scan_view,
    verdict_table,
)

__all__ = [
    "Progress",
    "attributes_table",
    "changes_table",
    "diagnose_html",
    "diagnose_view",
    "finding_block",
    "frame",
    "improve_lines",
    "listing",
    "look_html",
    "overview_line",
    "report_html",
    "scan_view",
    "verdict_table",
]
