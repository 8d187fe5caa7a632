"""Reports for people and for programs.

`sheets.sheet` is the way in; the modules hold a kind each. This is the only package that knows rich, and importing it
imports nothing heavy: rich comes when something is drawn that needs it.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["table", "json", "ndjson", "tsv", "none"]
LOOKING = ("info", "stats", "sweep", "hist", "check", "diff")
"""Commands that look and write nothing: a module here each, of which the `Findings` tell what was found."""
