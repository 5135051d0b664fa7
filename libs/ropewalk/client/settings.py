"""Where a client finds things: the environment if it says so, else the files of the embedded stack."""

import json
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ropewalk.admin.access import OPERATOR
from ropewalk.bus.settings import ExpandedPath, NatsSettings
from ropewalk.runtime.settings import StorageSettings
from ropewalk.storage.connect import AT_HAND_S, StoreAddress


class ClientSettings(BaseSettings):
    """The public addresses of a stack and the keys of its user."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_CLIENT_", frozen=True)

    openai_url: str = Field(default="http://127.0.0.1:8080/v1", description="base URL of the OpenAI endpoint")
    api_key: str = Field(default="", repr=False, description="key for the OpenAI endpoint")
    clickhouse_url: str = Field(default="http://127.0.0.1:8123", description="ClickHouse HTTP interface")
    clickhouse_user: str = "ropewalk"
    clickhouse_token: str = Field(default="", repr=False, description="password of that user")
    review_url: str = Field(default="http://127.0.0.1:8085", description="where raters open their links")
    objects_url: str = Field(default="", description="the object store, to verify ledgers")
    nats: NatsSettings = Field(default_factory=NatsSettings)

    @property
    def store(self) -> StoreAddress:
        """The object store; where its server is, a client is told by the variable that tells the services."""
        return StoreAddress(url=self.objects_url, endpoint=StorageSettings().endpoint, patience_s=AT_HAND_S)


class _StateSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True)

    state_dir: ExpandedPath = Path("~/.ropewalk").expanduser()
    compose_project: str = Field(
        default="", description="the compose project whose containers `status`, `doctor` and `logs` look at"
    )


def find_settings(state_dir: Path | None = None, user: str = OPERATOR) -> ClientSettings:
    """Settings for the stack of a state folder (default: the user's); environment variables win over its files.

    `user` is who its owner wants to be on the bus: see `admin.access`.
    """
    folder = (state_dir or _StateSettings().state_dir).expanduser().absolute()
    stack, secrets = _read(folder / "stack.json"), _read(folder / "credentials.json")
    endpoints = stack.get("endpoints", {})
    found = {
        "openai_url": endpoints.get("openai"),
        "clickhouse_url": endpoints.get("clickhouse_http"),
        "review_url": endpoints.get("review"),
        "api_key": secrets.get("demo_key"),
        "clickhouse_token": secrets.get("clickhouse_token"),
        "objects_url": StorageSettings().url or (folder / "objects").as_uri(),
    }
    given = ClientSettings()
    operator_token = secrets.get("clickhouse_operator_token")
    if operator_token and not given.model_fields_set & {"clickhouse_user", "clickhouse_token"}:
        found |= {"clickhouse_user": "ropewalk_operator", "clickhouse_token": operator_token}
    updates = {name: value for name, value in found.items() if value and name not in given.model_fields_set}
    return given.model_copy(
        update={**updates, "nats": _nats_of(given.nats, endpoints.get("nats", ""), folder / "keys" / f"{user}.seed")}
    )


def _nats_of(given: NatsSettings, url: str, seed: Path) -> NatsSettings:
    """The bus as the owner of a seed reaches it, unless the environment says where it is or who we are."""
    update: dict[str, object] = {}
    if url and "url" not in given.model_fields_set:
        update["url"] = url
    own = given.nkey_file
    if own and own.stem == OPERATOR and own.with_name(seed.name).is_file():  # of a stack in containers
        update |= {"user": seed.stem, "nkey_file": own.with_name(seed.name)}
    named = given.model_fields_set & {"user", "password", "nkey_file"} or "@" in given.url
    if seed.is_file() and not named:
        update |= {"user": seed.stem, "nkey_file": seed}
    return given.model_copy(update=update)


def _read(path: Path) -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content
