import httpx
import pytest

from ropewalk.monitor.adapters.embedded import EmbeddedEngine
from ropewalk.monitor.adapters.facade import Facade
from ropewalk.monitor.app import accounts
from ropewalk.monitor.settings import MonitorSettings, Settings
from ropewalk.runtime.settings import SettingsError, read_settings


async def login(settings, **options):
    """The status of a request that needs a login and no engine."""
    app = Facade(EmbeddedEngine("unused", 1), accounts(settings)).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8123") as client:
        return (await client.get("/", **options)).status_code


async def test_without_a_token_nobody_gets_in():
    settings = MonitorSettings()
    assert accounts(settings) == ()
    assert await login(settings) == 401
    assert await login(settings, auth=("ropewalk", "")) == 403
    assert await login(settings, auth=("ropewalk_writer", "")) == 403


async def test_anonymous_reading_is_for_default_without_a_password_only():
    settings = MonitorSettings(token="secret", anonymous=True)
    assert await login(settings) == 200
    assert await login(settings, auth=("default", "")) == 200
    assert await login(settings, auth=("default", "guess")) == 403
    assert await login(settings, auth=("ropewalk", "")) == 403
    assert await login(settings, auth=("ropewalk", "secret")) == 200
    assert all(account.read_only for account in accounts(settings))


async def test_the_operator_is_a_reader_of_its_own():
    settings = MonitorSettings(token="secret", operator_token="mine")
    assert await login(settings, auth=("ropewalk_operator", "mine")) == 200
    assert await login(settings, auth=("ropewalk_operator", "secret")) == 403
    assert await login(settings, auth=("ropewalk", "mine")) == 403
    assert await login(MonitorSettings(token="secret"), auth=("ropewalk_operator", "")) == 403
    assert [account.operator for account in accounts(settings)] == [False, True]
    assert all(account.read_only for account in accounts(settings))


async def test_a_web_page_under_another_name_cannot_read_anonymously():
    rebound = {"headers": {"Host": "evil.example:8123"}}
    assert await login(MonitorSettings(anonymous=True), **rebound) == 400
    assert await login(MonitorSettings(token="secret"), auth=("ropewalk", "secret"), **rebound) == 200


def test_settings_are_read_from_the_environment_and_secrets_are_not_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("ROPEWALK_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ROPEWALK_MONITOR_PORT", "9123")
    monkeypatch.setenv("ROPEWALK_MONITOR_TOKEN", "hush")
    monkeypatch.setenv("ROPEWALK_MONITOR_BASELINE_REQUESTS", "80")
    settings = Settings()
    assert (settings.monitor.port, settings.monitor.policy.baseline_requests) == (9123, 80)
    assert settings.data_dir == tmp_path / "clickhouse"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("rate", [0.0, -1e-5, 0.5])
def test_a_promise_that_means_nothing_is_refused(rate):
    with pytest.raises(ValueError, match="false_alarms_per_request"):
        MonitorSettings(false_alarms_per_request=rate)


@pytest.mark.parametrize(
    "url", ["clickhouse:8123", "http://", "tcp://u:p@h:9000", "http://u:p#w@h:8123", "http://u:pw@h:x"]
)
def test_an_address_of_a_server_that_is_none_is_refused_and_its_password_not_shown(url, monkeypatch):
    monkeypatch.setenv("ROPEWALK_MONITOR_CLICKHOUSE_URL", url)
    with pytest.raises(
        SettingsError, match=r"ROPEWALK_MONITOR_CLICKHOUSE_URL has a value: .*password@host:port"
    ) as told:
        read_settings(Settings)
    assert url not in str(told.value)


def test_who_reads_on_a_server_has_another_name_than_who_writes(monkeypatch):
    monkeypatch.setenv("ROPEWALK_MONITOR_CLICKHOUSE_URL", "http://ropewalk:p%23w@h:8123")
    assert read_settings(Settings).monitor.clickhouse_url.endswith("@h:8123")
    monkeypatch.setenv("ROPEWALK_MONITOR_TOKEN", "secret")
    with pytest.raises(SettingsError, match="set ROPEWALK_MONITOR_USER"):
        read_settings(Settings)
    monkeypatch.setenv("ROPEWALK_MONITOR_USER", "reader")
    assert read_settings(Settings).monitor.user == "reader"
