"""What is asked for of an output is known to be wrong before there is a source."""

import pytest

from thinslice.errors import UsageError
from thinslice.io.output_format import OutputFormat


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"dtype": "float64"}, "USE-DTYPE"),
        ({"compress": "zip"}, "DCM-COMPRESS"),
        ({"series_number": -1}, "DCM-SERIES-NUMBER"),
        ({"series_number": 1 << 31}, "DCM-SERIES-NUMBER"),
    ],
)
def test_what_no_output_has_is_refused(asked, code):
    with pytest.raises(UsageError) as refused:
        OutputFormat(**asked)
    assert refused.value.code == code


def test_the_first_and_the_last_series_number_are_taken():
    for number in (0, (1 << 31) - 1):
        assert OutputFormat(series_number=number).series_number == number
