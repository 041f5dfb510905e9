"""Which series are meant."""

from dataclasses import replace

from thinslice.service.config import RulesConfig
from thinslice.service.entry import Entry, parsed, short, work_of
from thinslice.service.orthanc import Series
from thinslice.service.rules import matches, may_match

THICK = Series("id", "1.2.3", tuple("abcdefgh"), True, "CT", "Works", "Abdomen 5.0 soft")
RULES = RulesConfig()


def test_thick_ct_of_others_is_meant_and_nothing_else():
    assert may_match(THICK, RULES)
    assert not may_match(replace(THICK, modality="MR"), RULES)
    assert not may_match(replace(THICK, manufacturer="thinslice"), RULES)
    assert not may_match(THICK, replace(RULES, description="(?i)lung"))
    assert may_match(THICK, replace(RULES, description="(?i)abdomen"))


def test_by_thickness_number_and_mark():
    assert matches(THICK, {"0018,0050": "5"}, RULES)
    assert not matches(THICK, {"0018,0050": "1.25"}, RULES)
    assert not matches(THICK, {"0018,0050": "5"}, replace(RULES, max_thickness_mm=4))
    assert not matches(THICK, {"0018,0050": "5"}, replace(RULES, min_slices=9))
    assert not matches(THICK, {"0018,0050": "5", "0008,001c": "YES"}, RULES)
    assert not matches(THICK, {}, RULES)
    assert not matches(THICK, {"0018,0050": "thick"}, RULES)


def test_frames_of_one_object_are_slices():
    one = replace(THICK, instances=("a",))
    assert matches(one, {"0028,0008": "40"}, RULES)
    assert not matches(one, {"0028,0008": "3"}, RULES)
    assert not matches(one, {"0018,0050": "5"}, RULES)


def test_work_is_of_instances_and_settings_whatever_their_order():
    assert work_of(THICK, "s") == work_of(replace(THICK, instances=tuple("hgfedcba")), "s")
    assert work_of(THICK, "s") != work_of(THICK, "t")
    assert work_of(THICK, "s") != work_of(replace(THICK, instances=tuple("abcdefghi")), "s")


def test_an_entry_comes_back_as_it_was_kept_and_anything_else_is_none():
    entry = Entry("storing", "w", 2, ("1.2",), ("3.4",), "", 1.5)
    found = parsed(entry.text())
    assert found is not None
    assert replace(found, at="") == entry
    for text in ("", "null", "7", "{}", '{"state": "done"}', "what another wrote"):
        assert parsed(text) is None


def test_short_names_do_not_hold_the_id():
    assert len(short("f568c566-e787b5fa")) == 12
    assert short("f568c566-e787b5fa")[:8] != "f568c566"
