import pytest

from tokbench.leaderboard.numbers import number_format, with_digits


@pytest.mark.parametrize(
    ("unit", "values", "texts"),
    [
        ("", [4.512, 1.02, 3.0], ["4.51", "1.02", "3.00"]),
        ("ratio", [0.9812, 0.5], ["0.981", "0.500"]),
        ("dB", [35.24, -3.211, -0.04], ["35.2", "−3.2", "0.0"]),  # noqa: RUF001  (a minus sign)
        ("cents", [1234.5, 20.0], ["1,234", "20"]),
        ("bit/s", [256000, 6000, 750], ["256", "6.00", "0.750"]),
        ("bytes", [512 * 2**20], ["512"]),
        ("", [0.9996, 0.1], ["1.000", "0.100"]),
        ("", [1.0, 0.9937], ["1.000", "0.994"]),
        ("", [0.0, None], ["0", ""]),
        ("ratio", [0.5, 0.0001, 0.0002], ["0.500", "0.000100", "0.000200"]),
        ("", [0.9999, 0.9, 0.005], ["1.000", "0.900", "0.005"]),
        ("MOS", [1.0], ["1.00"]),
    ],
)
def test_numbers_of_a_column_line_up(unit: str, values: list[float | None], texts: list[str]) -> None:
    number = number_format(unit, values)
    assert [number.text(value) for value in values] == texts


def test_bits_and_bytes_are_shown_in_the_units_that_people_use() -> None:
    assert number_format("bit/s", [6000.0]).unit == "kbit/s"
    assert number_format("bytes", [1.0]).unit == "MiB"
    assert number_format("dB", [1.0]).unit == "dB"


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (9.996, "10.0"), (-1234.0, "−1,234"), (1e-5, "0.000010")])  # noqa: RUF001
def test_a_number_by_itself_has_three_digits(value: float, text: str) -> None:
    assert with_digits(value) == text
