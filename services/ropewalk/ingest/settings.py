"""Where ingest finds things, what it may read, and how much it takes at once."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ropewalk.corpus.reading.places import Reach
from ropewalk.runtime.settings import RuntimeSettings


class Settings(RuntimeSettings):
    """The runtime's settings and the sizes of records and segments."""

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True)

    ingest_record_bytes: int = Field(default=8_000_000, gt=0, description="a larger text is cut into parts")
    ingest_any_family: bool = Field(
        default=False,
        description="accept base models that our own decoder cannot run, for an endpoint with vLLM",
    )
    ingest_segment_bytes: int = Field(default=4_000_000, gt=0, description="raw bytes after which a segment is closed")
    ingest_roots: str = Field(
        default="", description="folders, parted by `:`, below which sources and base models may lie; empty: anywhere"
    )

    @property
    def reach(self) -> Reach:
        """What sources may be read: never the stack's own folders."""
        roots = tuple(Path(root).expanduser() for root in self.ingest_roots.split(":") if root)
        own = [self.state_dir]
        if (store := urlsplit(self.objects_url)).scheme == "file":
            own.append(Path(unquote(store.path)))
        if self.nats.nkey_file is not None:
            own.append(self.nats.nkey_file)
        return Reach(roots=roots, closed=tuple(own))
