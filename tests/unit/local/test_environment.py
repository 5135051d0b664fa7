"""What the supervisor tells the services is what their settings read."""

import pytest
from pydantic_settings import BaseSettings

from ropewalk.checkpoint_manager.settings import Settings as CheckpointManagerSettings
from ropewalk.evaluator.settings import Settings as EvaluatorSettings
from ropewalk.local.broker.keys import seed_file
from ropewalk.local.credentials import Credentials
from ropewalk.local.env import bus_settings, process_environment, stack_environment
from ropewalk.local.layout import layout_of
from ropewalk.local.names import MARKER, PROCESS_MARKER
from ropewalk.local.ports import Ports
from ropewalk.monitor.settings import Settings as MonitorSettings
from ropewalk.preprocessing.settings import Settings as PreprocessingSettings
from ropewalk.serving.settings import Settings as ServingSettings
from ropewalk.trainer.settings import Settings as TrainerSettings

PORTS = Ports(nats=1, openai=2, triton_http=3, triton_grpc=4, clickhouse_http=6, ray=7, review=8)
CREDENTIALS = Credentials()


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The environment of the stack, set for this test."""
    for name, value in stack_environment(layout_of(tmp_path), PORTS, CREDENTIALS).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_services_find_bus_state_and_objects(told):
    settings = TrainerSettings()

    assert settings.state_dir == told
    assert settings.nats.url == "nats://127.0.0.1:1"
    assert settings.objects_url == (told / "objects").as_uri()


def test_serving_finds_its_ports_and_keys(told):
    settings = ServingSettings()

    assert (settings.openai_url, settings.triton_grpc) == ("http://127.0.0.1:2/v1", "127.0.0.1:4")
    assert settings.triton.http == 3
    assert (settings.gateway.demo_key, settings.gateway.internal_key) == (
        CREDENTIALS.demo_key,
        CREDENTIALS.internal_key,
    )


def test_checkpoint_manager_has_the_internal_key_of_the_endpoint(told):
    assert CheckpointManagerSettings().endpoint.internal_key == CREDENTIALS.internal_key


def test_monitor_serves_on_its_port_with_its_password(told):
    monitor = MonitorSettings().monitor

    assert (monitor.port, monitor.token, monitor.anonymous) == (6, CREDENTIALS.clickhouse_token, False)
    assert monitor.operator_token == CREDENTIALS.clickhouse_operator_token


def test_evaluator_serves_the_raters_page_on_its_port(told):
    settings = EvaluatorSettings()

    assert (settings.evaluator_review_host, settings.evaluator_review_port) == ("127.0.0.1", 8)


@pytest.mark.parametrize("settings", [PreprocessingSettings, TrainerSettings])
def test_services_that_use_ray_find_the_local_one(told, settings):
    values = flat(settings().model_dump())

    assert "127.0.0.1:7" in values


def test_every_process_carries_the_marks_by_which_it_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNING_OF_THE_USER", "kept")

    environment = process_environment("trainer", layout_of(tmp_path), PORTS, CREDENTIALS)

    assert (environment[MARKER], environment[PROCESS_MARKER]) == (str(tmp_path), "trainer")
    assert environment["TUNING_OF_THE_USER"] == "kept"


def test_every_service_is_told_its_own_key_and_an_engine_none(tmp_path, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_PASSWORD", "of another stack")
    layout = layout_of(tmp_path)

    told = {name: process_environment(name, layout, PORTS, CREDENTIALS) for name in ("trainer", "ray", "triton")}

    assert told["trainer"]["ROPEWALK_NATS_USER"] == "trainer"
    assert told["trainer"]["ROPEWALK_NATS_NKEY_FILE"] == str(seed_file(layout.keys, "trainer"))
    for name in ("ray", "triton"):
        assert {variable for variable in told[name] if variable.startswith("ROPEWALK_NATS")} == {"ROPEWALK_NATS_URL"}


def test_nothing_of_another_bus_in_the_environment_reaches_this_one(tmp_path, monkeypatch):
    for name, value in {"TOKEN": "x", "PASSWORD": "x", "TLS_CA": "/x", "REPLICAS": "3"}.items():
        monkeypatch.setenv(f"ROPEWALK_NATS_{name}", value)

    settings = bus_settings("supervisor", layout_of(tmp_path), PORTS)

    assert (settings.password, settings.tls_ca, settings.replicas) == ("", None, 1)


def flat(value):
    if isinstance(value, dict | BaseSettings):
        return [leaf for each in dict(value).values() for leaf in flat(each)]
    return [value]
