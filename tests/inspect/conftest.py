"""A browser for the pages."""

from __future__ import annotations

from browsing import browser, show

__all__ = ["browser", "show"]
