"""Numbers are as short as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.planning.quantities import compact, counted, duration, hours, listed, money, rate, size


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (compact(9_000), "9,000"),
        (compact(34_567), "34.6 k"),
        (compact(1_234_567), "1.23 M"),
        (hours(2.14), "2.1"),
        (hours(0.0131), "0.013"),
        (hours(1234.5), "1,234"),
        (hours(None), "?"),
        (duration(102), "102 s"),
        (duration(200), "3 min"),
        (duration(3_590), "1 h"),
        (duration(3_600), "1 h"),
        (duration(8_400), "2 h 20 min"),
        (duration(7_199), "2 h"),
        (duration(90_000), "1 d 1 h"),
        (duration(None), "?"),
        (money(1234.5), "1,234.50"),
        (money(None), "?"),
        (rate(2_970.4), "3,000"),
        (rate(0.123), "0.12"),
        (size(35_400_000), "35.4 MB"),
        (size(12), "12 bytes"),
        (counted(1, "model"), "1 model"),
        (counted(2_000, "model"), "2,000 models"),
        (listed(["a", "b", "c"], most=2), "a, b and 1 more"),
        (listed(["a", "b"]), "a, b"),
    ],
)
def test_a_number_in_words(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.floats(0, 1e7))
def test_a_time_never_has_sixty_minutes_beside_hours(seconds: float) -> None:
    shown = f" {duration(seconds)}"
    assert " 60 min" not in shown
    assert " 24 h" not in shown
