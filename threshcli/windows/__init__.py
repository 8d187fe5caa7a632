"""Thresholds from a window around each element: pure functions of arrays (`base` says what there is)."""
