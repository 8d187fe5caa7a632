"""How fast thresh is: `python -m tests.bench`.

Every bar is a ratio of two commands run side by side, as whole processes, in interleaved rounds, with files in the page
cache. Of each command the quickest round counts, and the largest peak of memory. Times of one machine mean nothing on
another; the ratios do. Nothing here fails when a bar is missed: the table says so.

`bars` has the bars, `lab` the files they need, `data` makes those, `peers` has what thresh is compared with, `measure`
runs processes, `table` prints. The process that measures imports nothing heavy: a child's peak of memory cannot be told
from that of the process it was forked from.
"""
