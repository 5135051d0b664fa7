"""The raters' page over HTTP: HTML made here, forms, one small script for keys. Nothing comes from elsewhere.

A rater is known by a cookie that holds the secret of their link. Every form carries a mark made with it, so that no
other site can post in a rater's name, and what a rater answers is what they were shown.
"""

import re
import time
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ropewalk.errors import RopewalkError
from ropewalk.evaluator.adapters.labelling.forms import AskedForm, asked_by, checked, form_of
from ropewalk.evaluator.adapters.labelling.review_desk import ReviewDesk, ReviewWork
from ropewalk.evaluator.adapters.labelling.shown import said_as, shown_of
from ropewalk.evaluator.domain.labelling.progress import (
    last_label,
    others_on,
    progress_of,
    seconds_between,
    settled_label,
)
from ropewalk.evaluator.domain.labelling.queue import kind_of, next_offer, next_position
from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.events.label import CANNOT_JUDGE, LabelGiven, LabelWithdrawn
from ropewalk.report.page import pages_of
from ropewalk.runtime.http_server import listen, serve_http

_GRACE_S, _MOST_CONNECTIONS = 2, 128
_COOKIE = "ropewalk_rater"
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}", re.ASCII)
_NOT_GOOD = "This link is not good, or not any more: ask whoever invited you for another one."
_SENTENCES = {
    404: "There is no such page: open the link that you were given.",
    405: "This page cannot be asked for in this way: open the link that you were given.",
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


async def serve_review(desk: ReviewDesk, host: str, port: int) -> None:
    """Listen until cancelled. Raises ListenError."""
    listener = listen(host, port, "ROPEWALK_EVALUATOR_REVIEW_PORT")
    await serve_http(ReviewPage(desk).app(), listener, grace_s=_GRACE_S, most_connections=_MOST_CONNECTIONS)


class ReviewPage:
    """The routes: a rater's link, the page, and what its two forms post."""

    def __init__(self, desk: ReviewDesk) -> None:
        self._desk = desk

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/review.css", _style, methods=["GET"]),
                Route("/review.js", _script, methods=["GET"]),
                Route("/r/{task_set}", self._show, methods=["GET"]),
                Route("/r/{task_set}/label", self._label, methods=["POST"]),
                Route("/r/{task_set}/undo", self._undo, methods=["POST"]),
                Route("/r/{task_set}/{secret}", self._enter, methods=["GET"]),
            ],
            middleware=[Middleware(_Guarded)],
            exception_handlers={
                HTTPException: _refused,
                RopewalkError: _not_now,
                TimeoutError: _not_now,
                Exception: _broken,
            },
        )

    async def _enter(self, request: Request) -> Response:
        """Keep the secret in a cookie, and lead to the page without it in the address.

        A redirect would not do: coming from another site's link, it would be followed without the cookie.
        """
        task_set, secret = str(request.path_params["task_set"]), str(request.path_params["secret"])
        if secret in ("label", "undo"):
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
        await self._rater(task_set, secret)
        answer = _html("enter.html", path=f"/r/{task_set}")
        secure = request.url.scheme == "https"
        answer.set_cookie(_COOKIE, secret, path=f"/r/{task_set}", httponly=True, samesite="strict", secure=secure)
        return answer

    async def _show(self, request: Request) -> Response:
        """The next sheet, or that there is none."""
        task_set, secret, rater = await self._who(request)
        work = await self._desk.work(task_set)
        offer, last = next_offer(rater, work.wanted, work.said), last_label(rater, work.said)
        if offer is None:
            await self._desk.look_again(task_set)  # should that have failed after the last label
        return _html(
            "sheet.html",
            path=f"/r/{task_set}",
            shown=shown_of(offer, work.criteria.get(offer.sheet.rubric, {})) if offer else None,
            form=asked_by(offer, time.time()).marked(secret) if offer else {},
            undo=AskedForm(position=last.position).marked(secret) if last else {},
            last=said_as(last.grade, last.shown_first, last.scale) if last else "",
            progress=progress_of(rater, work.wanted, work.said),
            agreement=_agreement(settled_label(rater, work.said), work),
        )

    async def _label(self, request: Request) -> Response:
        """Keep a label, then lead to the next page. One that is kept already is not kept twice."""
        task_set, secret, rater = await self._who(request)
        form = await form_of(request)
        asked, work = checked(secret, form), await self._desk.work(task_set)
        if asked.position == next_position(rater, work.said):
            await self._desk.say(_label_of(task_set, rater, asked, form.get("grade", ""), work))
            await self._desk.look_again(task_set)
        return RedirectResponse(f"/r/{task_set}", HTTPStatus.SEE_OTHER)

    async def _undo(self, request: Request) -> Response:
        """Take the last label back, if it still is the last."""
        task_set, secret, rater = await self._who(request)
        asked = checked(secret, await form_of(request))
        last = last_label(rater, (await self._desk.work(task_set)).said)
        if last is not None and last.position == asked.position:
            told = last.model_dump(include={"task_set_id", "version", "sheet_id", "rater", "position"})
            await self._desk.say(LabelWithdrawn(**told))
        return RedirectResponse(f"/r/{task_set}", HTTPStatus.SEE_OTHER)

    async def _who(self, request: Request) -> tuple[str, str, str]:
        """The task set, the secret, and whose it is."""
        task_set, secret = str(request.path_params["task_set"]), request.cookies.get(_COOKIE, "")
        return task_set, secret, await self._rater(task_set, secret)

    async def _rater(self, task_set: str, secret: str) -> str:
        """Who asks. Looked up in the log each time, so that a link ends at once where it is revoked."""
        is_form = re.fullmatch(RUN_ID_PATTERN, task_set) and _SECRET.fullmatch(secret)
        rater = await self._desk.rater_of(task_set, secret) if is_form else ""
        if not rater:
            raise HTTPException(403, _NOT_GOOD)
        return rater


class _Guarded:
    """Says the headers of every answer; a client that leaves is no error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            return


def _label_of(task_set: str, rater: str, asked: AskedForm, grade: str, work: ReviewWork) -> LabelGiven:
    """Raises HTTPException where the sheet is not wanted any more or has no such grade."""
    sheet = work.wanted.find(asked.sheet_id)
    if sheet is None:
        raise HTTPException(404, "This sheet is not wanted any more, so nothing was kept: open the page again.")
    if grade not in map(str, (*sheet.grades, CANNOT_JUDGE)):
        told = ", ".join(map(str, sheet.grades))
        raise HTTPException(400, f"The grade is {quoted(grade)}: one of {told}, or that you cannot judge.")
    return LabelGiven(
        task_set_id=task_set,
        version=work.version,
        sheet_id=sheet.sheet_id,
        item_id=sheet.item_id,
        criterion=sheet.criterion,
        scale=sheet.scale,
        rater=rater,
        grade=int(grade),
        shown_first=asked.shown_first,
        seconds=seconds_between(asked.opened, time.time()),
        kind=kind_of(rater, sheet.sheet_id, work.wanted, work.said),
        position=asked.position,
    )


def _agreement(label: LabelGiven | None, work: ReviewWork) -> str:
    """A sentence about the newest label that stays, where others graded the same sheet."""
    if label is None or label.grade == CANNOT_JUDGE:
        return ""
    num_others, num_same = others_on(label, work.said)
    if not num_others:
        return ""
    said = said_as(label.grade, label.shown_first, label.scale)
    return f"Of an earlier sheet you said: {said}. So did {num_same} of {num_others} others."


def _html(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(pages_of(__package__).get_template(template).render(**values), status)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "what this handler is for"
    sentence = _SENTENCES.get(error.status_code, "") if error.detail == HTTPStatus(error.status_code).phrase else ""
    return _html("refused.html", error.status_code, sentence=sentence or error.detail)


async def _not_now(_: Request, error: Exception) -> Response:
    return _html("refused.html", 503, sentence="The log does not answer: go back and try again in a moment.")


async def _broken(_: Request, error: Exception) -> Response:
    """What was not foreseen, which goes into the log. It is answered outside the middleware, so without its headers."""
    answer = _html("refused.html", 500, sentence="The page failed, and said why in its log: open the page again.")
    answer.headers.update(_HEADERS)
    return answer


async def _style(_: Request) -> Response:
    return Response(pages_of(__package__).get_template("review.css").render(), media_type="text/css")


async def _script(_: Request) -> Response:
    return Response(pages_of(__package__).get_template("review.js").render(), media_type="text/javascript")
