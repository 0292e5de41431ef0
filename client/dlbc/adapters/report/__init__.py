"""Audit reports as files: one HTML page without anything from outside, and JSON."""

from dlbc.adapters.report.page import render

__all__ = ["render"]
