"""The rules and the threshold sources as functions on torch tensors and NumPy arrays.

What a function means is what the command of the same rule means: both go through the rules, the sources and the kernels
of the floors below. Tensors on the CPU and arrays are worked on tile by tile with NumPy's kernels; tensors on a device,
and all that carry gradients, with torch's. torch is imported by whoever has a tensor, never here.
"""
