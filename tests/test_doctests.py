"""Examples in docstrings run as printed, each by itself, in a folder that holds thick.nii.gz and seg.nii.gz."""

import doctest
import inspect
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import thinslice
import thinslice.transforms
from thinslice.physics.operator import SliceOperator

NAMES = (
    "Model", "Result", "ThinsliceError", "Volume", "enhance", "evaluate", "fit", "read", "read_parts", "write",
)  # fmt: skip
SHOWN = {name: getattr(thinslice, name) for name in NAMES} | {
    "transforms": thinslice.transforms,
    "SliceOperator": SliceOperator,
}


def examples(name: str) -> list[doctest.DocTest]:
    """Those of an object, of a class with its methods; they know nothing but what they import themselves."""
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=inspect.isclass(SHOWN[name]))
    return finder.find(SHOWN[name], name, module=False, globs={})


@pytest.fixture
def scans(tmp_path: Path, thick_phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thick scan and a label map of its bone in the working directory."""
    (tmp_path / "thick.nii.gz").write_bytes(thick_phantom.read_bytes())
    image = nib.load(thick_phantom)
    nib.save(nib.Nifti1Image((np.asarray(image.dataobj) > 300).astype(np.uint8), image.affine), tmp_path / "seg.nii.gz")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize("name", SHOWN)
def test_examples_give_what_they_show(name: str) -> None:
    for example in examples(name):
        said: list[str] = []
        outcome = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
        assert outcome.failed == 0, "".join(said)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example_that_shows_a_value(name: str) -> None:
    own = [example for test in examples(name) if test.name == name for example in test.examples]
    assert own
    assert any(example.want for example in own)
    assert own[0].source.startswith("import ")


def test_no_example_is_left_out(repository: Path) -> None:
    """Whatever is written as one, in whichever module, is among those that run."""
    sources = (repository / "src").rglob("*.py")
    written = sum(line.lstrip().startswith(">>> ") for path in sources for line in path.read_text("utf-8").splitlines())
    assert written == sum(len(test.examples) for name in SHOWN for test in examples(name))
