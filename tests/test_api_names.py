"""The public names: what they are, when they load, and that no module takes their place."""

import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

import thinslice


def run(program):
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_loads_no_library():
    run(
        "import sys, thinslice\n"
        "heavy = {'numpy', 'torch', 'scipy', 'nibabel', 'SimpleITK', 'pydicom', 'typer', 'rich', 'matplotlib'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )


@pytest.mark.parametrize("name", [name for name in thinslice.__all__ if name != "__version__"])
def test_every_public_name_is_what_it_is_called(name):
    """A name that leads to a neighbour's object would be found, and would be the wrong one."""
    found = getattr(thinslice, name)
    assert (found.__name__, found.__module__.split(".")[0]) == (name, "thinslice")
    assert found is getattr(import_module(found.__module__), name)


def test_a_shell_lists_the_public_names_and_no_other():
    assert dir(thinslice) == sorted(thinslice.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        thinslice.nonsense  # noqa: B018


def test_errors_are_thinslice_errors():
    for name in ("UsageError", "InputError", "GeometryError", "ResourceError", "OutputError", "ModelError"):
        assert issubclass(getattr(thinslice, name), thinslice.ThinsliceError)


@pytest.mark.parametrize("name", [name for name in thinslice.__all__ if name != "__version__"])
def test_no_public_name_is_a_module_as_well(name):
    """A submodule would take the place of the function of its name as soon as anybody imported it."""
    assert find_spec(f"thinslice.{name}") is None


@pytest.mark.parametrize("name", thinslice.__all__)
def test_every_public_name_goes_to_another_process(name):
    there = getattr(thinslice, name)
    assert pickle.loads(pickle.dumps(there)) is there or name == "__version__"


NOTHING = {
    "enhance": ("x.nii",),
    "fit": ("x.nii",),
    "evaluate": (["x.nii"],),
    "read": ("x.nii",),
    "read_parts": ("x.nii",),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize(("given", "meant"), [("thickness_", "thickness"), ("alow_derived", "allow_derived")])
def test_an_unknown_argument_is_answered_by_the_function_that_was_called(name, given, meant):
    """Before anything is read, and whatever is to be read."""
    for source in (NOTHING[name], (None,)):
        with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument '{given}'") as refused:
            getattr(thinslice, name)(*source, **{given: 1})
        assert f"Did you mean '{meant}" in str(refused.value)


def test_an_argument_like_no_other_is_answered_with_those_there_are():
    with pytest.raises(
        TypeError, match=r"^write\(\) got an unexpected keyword argument 'qqq'; it takes volume, path, "
    ):
        thinslice.write(None, "x.nii", qqq=1)


def test_reading_says_what_it_takes():
    """Whatever reads takes the same, and `read` says so itself."""
    read, parts = (inspect.signature(function).parameters for function in (thinslice.read, thinslice.read_parts))
    assert read == parts
    assert "on_gap" in read
    for name in read:
        assert f"        {name}: " in thinslice.read.__doc__
