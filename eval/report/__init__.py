"""One self-contained HTML page from an `Evaluation`: no script, no external reference, prints, works in the
dark.
"""

from eval.report.html import render_report

__all__ = ["render_report"]
