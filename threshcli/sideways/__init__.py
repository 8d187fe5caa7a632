"""The mathematics of rules that look sideways, on whole arrays: which elements stay is a mask that is made first.

`nm` ranks neighbours within groups; `components` finds connected components, slab by slab. Nothing here knows files.
"""
