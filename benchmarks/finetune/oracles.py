"""What TRL's DPOTrainer says a batch of preferences loses, for the values that tests hold: needs the package trl.

python -m finetune.oracles     JSON: the loss of each margin at beta .1, TRL's and ours
"""

import json
from collections import defaultdict
from importlib import import_module
from types import SimpleNamespace

import torch

from ropewalk.model.objectives.preference import preference_loss

MARGINS = (-31.5, -2.25, 0.0, 0.375, 48.0)
BETA = 0.1


def of_trl(margin: float) -> float:
    """TRL's own method on one pair whose answers have one token each; what it needs beside that is made up."""
    said = torch.tensor([[margin], [0.0]])
    outputs = SimpleNamespace(log_probs=said, entropy=said, mean_logits=said, is_top1=said > 0)
    accelerator = SimpleNamespace(device="cpu", gather=lambda each: each, gather_for_metrics=lambda each: each)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=accelerator,
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        beta=BETA,
        use_weighting=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )
    ones = torch.ones(2, 2, dtype=torch.long)
    inputs = {
        "input_ids": ones,
        "attention_mask": ones,
        "completion_mask": ones,
        "ref_chosen_logps": torch.zeros(1),
        "ref_rejected_logps": torch.zeros(1),
    }
    dpo = import_module("trl.trainer.dpo_trainer")  # no dependency of ours, so no type checker knows it
    return float(dpo.DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False))


if __name__ == "__main__":
    ours = preference_loss(torch.tensor(MARGINS), BETA).tolist()
    print(json.dumps({"margins": MARGINS, "trl": list(map(of_trl, MARGINS)), "ropewalk": ours}))
