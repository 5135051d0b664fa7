"""When a process is started again."""

import pytest

from ropewalk.local.supervision.spec import RestartPolicy


def test_delay_doubles_from_a_fifth_of_a_second_to_ten_seconds():
    policy = RestartPolicy()

    assert [policy.delay_s(failures) for failures in range(1, 8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]
    assert policy.delay_s(10_000) == 10.0


@pytest.mark.parametrize(("lived_s", "expected"), [(29.9, 5), (30.0, 1)])
def test_failures_are_forgotten_after_thirty_seconds_of_health(lived_s, expected):
    assert RestartPolicy().failures_after(4, lived_s) == expected
