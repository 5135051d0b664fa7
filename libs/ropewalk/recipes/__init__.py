"""A recipe says what to do: few fields a person understands, everything else derived from one dial.

`recipe` holds the types, `dial` the derivation with its sources, `builtin` the recipes that ship.
The hash of a complete recipe is the identity of the run.
"""
