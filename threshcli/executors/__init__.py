"""Who runs the files of a call: one module each."""
