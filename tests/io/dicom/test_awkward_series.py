"""Every awkward series of the table is read rightly, or refused with its code; never read wrongly."""

import re
import warnings

import numpy as np
import pytest
from dicom_cases import CASES, Case
from dicom_phantom import hu_at

from thinslice.errors import GeometryError, ThinsliceError
from thinslice.io.dicom import read_series
from thinslice.volume import Volume

# the generator writes odd values on purpose
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")

NAMES = [case.name for case in CASES]


def largest_error(volume: Volume) -> float:
    """Largest distance from the truth at the positions that the volume claims, in HU, padding left out."""
    z, y, x = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    if volume.slice_positions_mm is not None:
        z = (volume.slice_positions_mm / volume.slice_spacing_mm)[z]
    ras = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ volume.affine.T
    error = np.abs(volume.hu - hu_at(ras[..., :3] * [-1, -1, 1]))
    return float(error[~volume.padding].max() if volume.padding is not None else error.max())


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_read_rightly_or_refused_with_its_code(case: Case, tmp_path):
    case.write(tmp_path / "in")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if case.refused:
            with pytest.raises(ThinsliceError) as caught:
                read_series(tmp_path / "in", **case.options)
            assert caught.value.code == case.refused
            assert "\n" not in caught.value.line
            return
        volume = read_series(tmp_path / "in", **case.options)
    assert {notice.code for notice in volume.origin.warnings} == case.warned
    assert volume.shape[0] == case.slices
    assert largest_error(volume) <= case.within


@pytest.mark.parametrize("case", [case for case in CASES if case.warned], ids=lambda case: case.name)
def test_strict_turns_warnings_into_errors(case: Case, tmp_path):
    case.write(tmp_path / "in")
    with pytest.raises(ThinsliceError) as caught:
        read_series(tmp_path / "in", strict=True, **case.options)
    assert caught.value.code in case.warned


def test_every_code_of_the_manual_occurs(repository):
    """What docs/dicom.md promises of reading is in the table, and nothing is that it does not name."""
    text = (repository / "docs" / "dicom.md").read_text(encoding="utf-8")
    table = text[text.index("### Codes") : text.index("### Tolerances")]
    rows = re.findall(r"^\| (DCM-[^|]*) \| (\d|warning) \|", table, flags=re.MULTILINE)
    named = {code: kind for codes, kind in rows for code in re.findall(r"DCM-[A-Z-]+[A-Z]", codes)}
    written = {"DCM-CARRIED"}
    options = {code for code, kind in named.items() if kind == "2"}
    refused = {case.refused for case in CASES} - {None}
    warned = {code for case in CASES for code in case.warned}
    assert refused == {code for code, kind in named.items() if kind in "347"} - written
    assert warned - {"DCM-SYNTH"} == {code for code, kind in named.items() if kind == "warning"} - written
    assert not options & (refused | warned)


def listing() -> str:
    """The table as docs/dicom.md shows it: what comes of which input."""
    outcomes: dict[str, list[str]] = {}
    for case in CASES:
        outcome = f"refused: {case.refused}" if case.refused else ", ".join(sorted(case.warned)) or "-"
        outcomes.setdefault(outcome, []).append(case.name)
    rows = [f"| {outcome} | {'; '.join(names)} |" for outcome, names in outcomes.items()]
    return "\n".join(["| code | inputs |", "|---|---|", *rows])


def test_the_manual_lists_the_cases(repository):
    text = (repository / "docs" / "dicom.md").read_text(encoding="utf-8")
    assert listing() in text, f"put this into docs/dicom.md, section Cases:\n{listing()}"
    compared = [case for case in CASES if not case.policy and not case.options and case.name != "plain"]
    assert f"| {len(compared)} cases |" in text, "run benchmarks/dicom_scorecard.py --each again: there are other cases"


def test_exit_code_is_the_smallest_of_all_reasons(tmp_path):
    from dicom_phantom import each, save

    def change(number, ds):
        ds.RescaleType = "US"
        if number == 3:
            del ds.ImagePositionPatient

    save(each(change), tmp_path)
    with pytest.raises(ThinsliceError) as caught:
        read_series(tmp_path)
    assert not isinstance(caught.value, GeometryError)
    assert caught.value.exit_code == 3
    assert "also DCM-IPP" in caught.value.message
