"""The configuration: what is wrong with it is one line that names section and key."""

from pathlib import Path

import pytest

from thinslice.errors import UsageError
from thinslice.service.config import read_config


def read(folder: Path, text: str):
    file = folder / "node.toml"
    file.write_text(text)
    return read_config(file)


def test_defaults_are_deterministic_local_and_for_thick_ct(tmp_path):
    config = read(tmp_path, '[orthanc]\nurl = "https://orthanc.example"\n')
    assert config.settings.options["fit"] == "none"
    assert config.status.host == "127.0.0.1"
    assert config.rules.min_thickness_mm == 2.0
    assert config.store.delete_superseded
    assert not config.notify.identity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[orthank]\nurl = "x"', "unknown key 'orthank'; did you mean 'orthanc'"),
        ('[orthanc]\nurll = "x"', r"\[orthanc\] has an unknown key 'urll'; did you mean 'url'"),
        ('[orthanc]\npassword = "secret"', "password stays out of this file"),
        ('[orthanc]\nurl = "http://a:b@host"', "must not hold a password"),
        ('[orthanc]\nurl = "ftp://host"', "must be http"),
        ('[orthanc]\nuser = "a"', "no password"),
        ('[orthanc]\nuser = "a"\npassword_env = "A"\npassword_file = "b"', "give one"),
        ("[orthanc]\ntimeout_s = 0", "over 0"),
        ('[rules]\nmin_slices = "8"', r"\[rules\] min_slices must be a whole number, found str"),
        ("[rules]\nmin_slices = true", "must be a whole number"),
        ("[rules]\nmin_thickness_mm = 9.0\nmax_thickness_mm = 3.0", "9 to 3"),
        ('[rules]\ndescription = "("', "no regular expression"),
        ("[enhance]\nspacin = 1.0", "did you mean 'spacing'"),
        ("[enhance]\nthreads = 2", r"belongs to \[workers\]"),
        ('[enhance]\non_gap = "jump"', "error, split or fill"),
        ('[workers]\ncount = 2\nscheduler = "tcp://a:1"', "give one"),
        ("[status]\nport = 70000", "65535"),
        ('[notify]\nsmtp = "mail"', "sender and to"),
        ('[notify]\nto = "me"', "must be a list of texts"),
        ("[spool]\nquota_bytes = 0", "over 0"),
        ("orthanc = 3", "must be a section"),
    ],
)
def test_what_is_wrong_is_one_line(text, said, tmp_path):
    with pytest.raises(UsageError, match=said) as caught:
        read(tmp_path, text)
    assert caught.value.code == "SRV-CONFIG"
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.line
    assert "secret" not in caught.value.line


def test_options_of_enhance_are_checked_as_there(tmp_path):
    with pytest.raises(UsageError, match="compression"):
        read(tmp_path, '[enhance]\ncompress = "zip"')
    assert read(tmp_path, '[enhance]\nviews = ["axial"]\nspacing = 2.0').settings.options["views"] == ("axial",)


def test_weights_lie_beside_the_configuration(tmp_path):
    assert read(tmp_path, '[enhance]\nmodel = "own.safetensors"').settings.options["model"] == str(
        tmp_path.resolve() / "own.safetensors"
    )


def test_the_password_comes_from_where_it_is_kept(tmp_path, monkeypatch):
    text = '[orthanc]\nuser = "a"\npassword_env = "NODE_SECRET"'
    monkeypatch.delenv("NODE_SECRET", raising=False)
    with pytest.raises(UsageError, match="NODE_SECRET") as caught:
        read(tmp_path, text).orthanc.password()
    assert caught.value.code == "SRV-SECRET"
    monkeypatch.setenv("NODE_SECRET", "s3")
    assert read(tmp_path, text).orthanc.password() == "s3"
    (tmp_path / "kept").write_text("s4\n")
    text = f'[orthanc]\nuser = "a"\npassword_file = "{tmp_path}/kept"'
    assert read(tmp_path, text).orthanc.password() == "s4"
    assert "s4" not in repr(read(tmp_path, text))


def test_the_example_is_in_order(repository):
    config = read_config(repository / "deploy" / "node.toml")
    assert config.orthanc.password_file or config.orthanc.password_env
