"""How many documents it takes to judge a model: known before the run, so that nobody trains in vain."""

DOCUMENTS_TO_JUDGE = 20  # held-out ones; fewer give no interval that can be trusted
LEAST_SHARE = 0.2  # of the documents is held out where a smaller one gives too few
_WATCHED_SHARE, _FEWEST_WATCHED, _MOST_WATCHED = 0.05, 4, 64


def num_to_watch(num_documents: int) -> int:
    """Of how many more documents the loss shows how a training gets on; 0: they would be too few to say anything."""
    count = min(_MOST_WATCHED, int(_WATCHED_SHARE * num_documents))
    return count if count >= _FEWEST_WATCHED else 0


def too_few_to_judge(num_documents: int, held_out_fraction: float) -> str:
    """A sentence if too few documents will be held out for the gate to say yes or no; else empty."""
    share = max(held_out_fraction, LEAST_SHARE)
    held_out = max(1, int(share * num_documents))
    if held_out >= DOCUMENTS_TO_JUDGE:
        return ""
    return (
        f"too few documents to judge a model by: of {num_documents:,} about {held_out} will be held out and the gate "
        f"needs {DOCUMENTS_TO_JUDGE}, so the run will end as need_more and promote nothing; "
        f"{_remedy(num_documents, share)}"
    )


def _remedy(num_documents: int, share: float) -> str:
    more = f"have at least {round(DOCUMENTS_TO_JUDGE / share)} documents"
    wanted = 1.1 * DOCUMENTS_TO_JUDGE / num_documents if num_documents else 1.0  # the draw may give a few less
    return f"{more}, or set evaluation.held_out_fraction to {wanted:.2f}" if wanted < 0.495 else more
