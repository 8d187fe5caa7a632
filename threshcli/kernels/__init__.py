"""Arithmetic on tiles: NumPy on the CPU, torch on an accelerator, one interface (`base`)."""
