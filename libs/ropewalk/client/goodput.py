"""A training's account of time in words; empty where an older log has none."""

from ropewalk.events.training import TimeAccount

_NAMES = {
    "restart_s": "restarts",
    "replay_s": "steps taken again",
    "compile_s": "start and compile",
    "checkpoint_s": "checkpoints",
    "data_s": "waiting for data",
    "evaluate_s": "validation",
    "idle_s": "idle",
}
_LEAST = 0.005  # of the whole: half a percent rounds up to one


def productive(account: TimeAccount) -> str:
    """`83 % productive, MFU 41 %`."""
    if not account.wall_s:
        return ""
    use = f", MFU {_percent(account.mfu)}" if account.mfu else ""
    return f"{_percent(account.step_s / account.wall_s)} productive{use}"


def spent(account: TimeAccount) -> str:
    """What the rest went into, the most first: `restarts 9 %, checkpoints 4 %`."""
    if not account.wall_s:
        return ""
    shares = {name: getattr(account, field) / account.wall_s for field, name in _NAMES.items()}
    named = sorted((item for item in shares.items() if item[1] >= _LEAST), key=lambda item: -item[1])
    return ", ".join(f"{name} {_percent(share)}" for name, share in named)


def use(account: TimeAccount) -> str:
    """How much of the devices the steps used: `MFU 41 %, 52 % of the rate of a large product there`.

    Steps are no faster than a large product: one that seems slower was measured beside other work, and is left out.
    """
    parts = [f"MFU {_percent(account.mfu)}"] if account.mfu else []
    if 0 < account.gemm_mfu <= 1:
        parts.append(f"{_percent(account.gemm_mfu)} of the rate of a large product there")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
