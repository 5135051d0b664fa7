"""The contracts of the seven services, read by name: a library may not import a service, and these are only data.

A service that is not in SERVICE_USERS has no user, no rights and no consumers on the server.
"""

import importlib

from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.contract import Contract

SERVICE_USERS = ("ingest", "preprocessing", "trainer", "checkpoint-manager", "evaluator", "monitor", "serving")


def contract_of(service: str) -> Contract:
    """What a service says of itself in its `contract.py`."""
    contract = importlib.import_module(f"ropewalk.{service.replace('-', '_')}.contract").CONTRACT
    assert isinstance(contract, Contract)
    return contract


CONTRACTS: dict[str, Contract] = {service: contract_of(service) for service in SERVICE_USERS}
CONSUMERS: tuple[ConsumerSpec, ...] = tuple(spec for each in CONTRACTS.values() for spec in each.consumers)
"""Every durable consumer. The owner of the topology creates them; services only bind."""
