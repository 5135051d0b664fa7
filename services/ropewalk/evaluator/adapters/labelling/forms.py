"""What a form of the page brings back. It is marked with the secret of the rater's link, which no other site has."""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ropewalk.evaluator.domain.labelling.queue import Offer

MOST_BYTES = 16 * 1024
_MOST_FIELDS = 10
_MOST_LABELS = 10**9
_NO_FORM = "What was posted is no form of this page: open the page again."


class AskedForm(BaseModel):
    """What a page asked its rater, and when, in seconds since 1970; or, without a sheet, which label may go."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    position: int = Field(ge=1, le=_MOST_LABELS)
    sheet_id: str = Field(default="", max_length=200)
    shown_first: int = Field(default=0, ge=0, le=1)
    opened: float = Field(default=0.0, allow_inf_nan=False)

    def marked(self, secret: str) -> dict[str, str]:
        """The hidden fields of a form."""
        told = self.model_dump_json()
        return {"asked": told, "mark": _mark(secret, told)}


def asked_by(offer: Offer, now: float) -> AskedForm:
    """What the page says of an offer."""
    return AskedForm(
        position=offer.position,
        sheet_id=offer.sheet.sheet_id,
        shown_first=offer.shown_first,
        opened=now,
    )


def checked(secret: str, form: Mapping[str, str]) -> AskedForm:
    """What was asked, if it was us who asked this rater. Raises HTTPException."""
    told = form.get("asked", "")
    if not hmac.compare_digest(_mark(secret, told).encode(), form.get("mark", "").encode()):
        raise HTTPException(400, "This form is not one of your page: open the page again.")
    try:
        return AskedForm.model_validate_json(told)
    except ValidationError:  # marked by a rater who knows their own secret
        raise HTTPException(400, _NO_FORM) from None


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form, which is bounded. Raises HTTPException, ClientDisconnect."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"What was posted is larger than {MOST_BYTES:,} bytes: open the page again.")
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise HTTPException(400, _NO_FORM) from None


def _mark(secret: str, told: str) -> str:
    return hmac.new(secret.encode(), told.encode(), "sha256").hexdigest()
