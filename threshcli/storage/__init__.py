"""Where files live: one module a kind of storage."""
