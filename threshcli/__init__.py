"""thresh: thresholds for tensor files."""

__version__ = "0.1.0"
