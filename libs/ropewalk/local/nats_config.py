"""The configuration file of the embedded nats-server."""

from ropewalk.local.layout import Layout
from ropewalk.local.ports import LOOPBACK, Ports


def nats_config(layout: Layout, ports: Ports, token: str) -> str:
    """JetStream that has synced every message before it acknowledges it, for loopback and token holders only."""
    return f"""\
server_name: ropewalk
listen: "{LOOPBACK}:{ports.nats}"
http: "{LOOPBACK}:{ports.nats_monitor}"
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: "{layout.nats_store}"
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 100GB
}}
"""
