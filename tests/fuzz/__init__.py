"""Mutation fuzzing: `python -m tests.fuzz` damages sound files in many ways and reads each as users would.

What comes of a damaged file is right values or one of our own errors, within bounds of time and memory, and never a
leftover. `mutations` and `structured` do the damage, `seeds` has what is damaged, `readers` the ways in, `oracle` says
what may come of it, `against` asks the libraries whose formats these are.
"""
