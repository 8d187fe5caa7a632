"""From a plan to bytes: tiles through kernels, by symmetric workers, counted on the way.

Each worker reads the next tile, computes and writes it; there are no stages and no queues. Output bytes do not depend
on the number of workers or the size of tiles.
"""
