"""What the log says, computed: the state of runs, the registry, lineage, costs, the ledger.

Each projection is a pure fold (`fold` has the rules that make it insensitive to duplicates and to reordering across
subjects); `projector` runs all of them; `replay` feeds it from the log, `answering` answers questions about it with
what `lists` finds, `check` looks for what must never happen. Invariants and commands: docs/projections.md.
"""
