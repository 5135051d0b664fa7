"""The label family: what people say of answers. About a task set and no run: an answer is the same whoever gave it.

Labels and what is taken back of them are kept for ten years in a stream of their own (`SCORES`).
"""

from typing import ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import RUN_ID_PATTERN, AboutOther, Event, Message, Plane, Request, Value, VersionNumber

CANNOT_JUDGE = -1
SheetKind = Literal["wanted", "gold", "repeat"]


class _Family(Value):
    family: ClassVar[str] = "label"
    about: ClassVar[str] = "task_set_id"
    task_set_id: str = Field(pattern=RUN_ID_PATTERN)


class InviteRater(_Family, AboutOther, Request):
    """Somebody asks that a rater may label answers of a task set. The secret of the link stays with who made it."""

    name: ClassVar[str] = "invite"
    rater: str = Field(pattern=RUN_ID_PATTERN)
    key_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the secret in the rater's link")
    until_unix: float = Field(description="when the link ends")


class RevokeRater(_Family, AboutOther, Request):
    """Somebody asks that a rater's links end now. What the rater said stays."""

    name: ClassVar[str] = "revoke"
    rater: str = Field(pattern=RUN_ID_PATTERN)


class RaterInvited(_Family, AboutOther, Event):
    """Whoever has the secret may label answers of the task set under this name, until the time is over."""

    name: ClassVar[str] = "rater_invited"
    rater: str
    key_sha256: str
    until_unix: float


class RaterRevoked(_Family, AboutOther, Event):
    """No link of this rater is good any more; a later invitation is another one."""

    name: ClassVar[str] = "rater_revoked"
    rater: str


class LabelsWanted(_Family, AboutOther, Event):
    """Answers were drawn for people to label. `run_id` is the run whose decision needs them."""

    name: ClassVar[str] = "wanted"
    version: VersionNumber
    checkpoint_id: str
    look: int = Field(description="which judgement of the checkpoint wants them")
    sheets: str = Field(description="key of the folder in the store with what is to be labelled")
    num_sheets: int
    raters_each: int = Field(description="so many people are to label each")


class LabelGiven(_Family, AboutOther, Message):
    """What one rater said of one sheet. The first word about a sheet that was not taken back counts."""

    plane: ClassVar[Plane] = "log"
    name: ClassVar[str] = "given"
    version: VersionNumber
    sheet_id: str
    item_id: str
    criterion: str
    scale: str = Field(description="what the grade is on: `0-3`, or `pair`")
    rater: str
    grade: int = Field(
        description="-1: cannot be judged; of a pair 0: the sheet's first answer is better, 1: neither, 2: its second"
    )
    shown_first: int = Field(default=0, description="of a pair: which of the sheet's answers stood first")
    seconds: float = Field(description="from the page to the label")
    kind: SheetKind = "wanted"
    position: VersionNumber = Field(description="which label of this rater it is, from 1")


class LabelWithdrawn(_Family, AboutOther, Message):
    """A rater took the label with this position back."""

    plane: ClassVar[Plane] = "log"
    name: ClassVar[str] = "withdrawn"
    version: VersionNumber
    sheet_id: str
    rater: str
    position: VersionNumber
