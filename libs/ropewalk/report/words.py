"""What the terms of a run mean, in plain words."""

WORDS: tuple[tuple[str, str], ...] = (
    (
        "bits per byte",
        "how many bits the model needs on average for a byte of text that it never read: 8 is knowing nothing, less is"
        " better, and models with different tokenizers can be compared",
    ),
    (
        "nats per token",
        "what training lowers; divided by 0.693 and by the bytes of a token it is bits per byte",
    ),
    ("held out", "texts that were kept from training so that the model can be judged on something new"),
    ("epoch (of training)", "one reading of all the training data; 0.5 means that half of it was read"),
    (
        "epoch (of a lease)",
        "the number of the turn in which a service works on a stage: it grows when another instance takes over, and"
        " what an earlier turn still wants to write is refused. It has nothing to do with training",
    ),
    ("step", "one update of the weights, from one batch"),
    ("trial", "a short training with other learning rates; the best of them is used"),
    ("checkpoint", "all that is needed to go on training from a step, on disk and verified"),
    ("ledger", "the record of which text every step read; exact means none was skipped and none read twice"),
    ("gate", "the decision whether the model is better than what it would replace, with the margin of error counted"),
    ("parity", "the trained weights, the exported files and the endpoint give the same tokens"),
    ("promoted", "the model passed the gate and answers at the endpoint under its plain name"),
    ("drift alarm", "what people send to the model, or what it answers, is not as it was when its watch began"),
)
