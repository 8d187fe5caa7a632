"""Hostile, damaged, truncated and merely strange files, and what each must give.

Each module makes the cases of one format; `tests/test_hostile.py` runs all of them through the commands, in process,
and `tests/test_hostile_processes.py` in processes of their own with bounded memory and time.
"""
