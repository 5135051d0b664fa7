"""Searches a learning rate and trains: Ray places the workers, everything that must be right is decided here.

Listens: data.dataset_published (stage `search`), training.search_completed (stage `train`).
Emits: training.trial_completed, search_completed, started, progressed, steps_committed, step_skipped, interrupted,
resumed, completed; checkpoint.saved, save_failed, and quarantined for a broken one found while resuming; tel steps.
"""
