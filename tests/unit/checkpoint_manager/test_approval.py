import pytest

from ropewalk.checkpoint_manager.domain.approval import reason_against
from ropewalk.events.checkpoint import ApprovalAwaited, ApproveModel

WISH = ApproveModel(run_id="r", model="ant", model_version=3, approver="bob", signature="s")


def what_awaits(author: str = "alice") -> ApprovalAwaited:
    return ApprovalAwaited(
        run_id="r",
        model="ant",
        model_version=3,
        alias="production",
        author=author,
        checkpoint_id="r-1-9",
        export_uri="e",
        manifest_sha256="0",
        evaluation_uri="v",
        evaluation_sha256="1",
    )


def test_another_approver_than_the_author_may() -> None:
    assert reason_against(what_awaits(), WISH, {"bob": "UB"}) == ""


@pytest.mark.parametrize(
    ("author", "keys", "reason"),
    [
        ("bob", {"bob": "UB"}, "bob is the author of run r: somebody else must approve ant@3"),
        ("", {"bob": "UB"}, "run r names no author"),
        ("alice", {}, "bob is no approver of this stack (nobody is, see ROPEWALK_CHECKPOINT_MANAGER_APPROVERS)"),
        ("alice", {"alice": "UA", "bob": "UA"}, "bob and alice, the author, have one key"),
    ],
)
def test_who_may_not_approve_hears_why(author: str, keys: dict[str, str], reason: str) -> None:
    assert reason_against(what_awaits(author), WISH, keys).startswith(reason)
