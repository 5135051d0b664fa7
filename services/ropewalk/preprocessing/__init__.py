"""Turns segments of documents into a sealed dataset version: cleaned, deduplicated, split, tokenized and packed.

Every document ends in exactly one state (kept, held out, or dropped for one named reason), and the same segments
give the same dataset version byte for byte, however many workers there are and in whatever order they finish.

What one run of a model held out, no later run of that model trains on: see `domain.held_out` and `adapters.registry`.
No run trains on what gives items of a frozen task set away: see `adapters.guarded`.

Listens: CorpusIngested (stage `preprocess`).
Emits: BaseModelAsked, TokenizerTrained, SegmentCleaned, DatasetPublished.
"""
