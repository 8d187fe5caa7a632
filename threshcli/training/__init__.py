"""Thresholds in training: on gradients between backward() and step(), learnable ones, and on losses.

What a threshold means is what the rule `gradient` means; `working` brings it to gradients in place, `choosing` says
which threshold is for which parameter at which step. torch is imported by all of these modules: who trains has it.
"""
