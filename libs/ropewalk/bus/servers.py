"""The servers of one cluster, which an address names one after the other: `tls://nats-0:4222,tls://nats-1:4222`."""


def servers_of(address: str) -> list[str]:
    """Their URLs, any of which will do. One without a scheme has that of the first, or `nats`."""
    urls = [part.strip() for part in address.split(",") if part.strip()] or ["127.0.0.1"]
    scheme = urls[0].rpartition("://")[0] or "nats"
    return [url if "://" in url else f"{scheme}://{url}" for url in urls]


def are_encrypted(address: str) -> bool:
    """Whether all of them are spoken to through TLS."""
    return all(url.startswith("tls://") for url in servers_of(address))


def without_users(address: str) -> str:
    """The address as it may be shown: without passwords."""
    parts = (url.partition("://") for url in servers_of(address))
    return ",".join(f"{scheme}://{rest.rpartition('@')[2]}" for scheme, _, rest in parts)
