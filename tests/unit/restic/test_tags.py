"""The grammar of tags: what is written is read back, and nothing else passes for it."""

import os
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.snapshot import NAME, Tags
from resticwrap.restic.tags import KEYS, OPTIONAL, parse_tags, tags_for
from tests.unit.restic.scene import TAGS

TEXT = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text == text.strip()
)
ANY = st.builds(
    Tags,
    domain=st.from_regex(NAME, fullmatch=True),
    layer=st.sampled_from(["raw", "derived", "serving"]),
    priority=st.sampled_from(["P0", "P1", "P2"]),
    job=TEXT,
    type=st.sampled_from(["incremental", "full"]),
    tier=st.sampled_from(["hot", "cold"]),
    expire_after_days=st.integers(0, 10**6),
    base=st.sampled_from(["", "a" * 64]),
)


@given(ANY, st.randoms(), st.lists(st.text()))
def test_round_trip(tags: Tags, random: st.DataObject, others: list[str]) -> None:
    """In any order, and among the tags of other people."""
    written = tags_for(tags) + [other for other in others if other.partition("=")[0] not in KEYS]
    random.shuffle(written)  # type: ignore[attr-defined]
    assert parse_tags(written) == tags


@given(ANY, st.sampled_from(sorted(KEYS)))
def test_one_of_each_key(tags: Tags, key: str) -> None:
    """A tag that is missing, or there twice, makes the snapshot none of ours."""
    written = tags_for(tags)
    without = [tag for tag in written if not tag.startswith(f"{key}=")]
    if key in OPTIONAL:
        assert parse_tags(without) == msgspec.structs.replace(tags, **{KEYS[key]: ""})
        if without == written:
            return
    else:
        assert len(without) == len(written) - 1 and parse_tags(without) is None
    assert parse_tags([*written, next(tag for tag in written if tag.startswith(f"{key}="))]) is None


@given(st.lists(st.one_of(st.text(), st.builds("{}={}".format, st.sampled_from(sorted(KEYS)), st.text()))))
def test_anything_can_be_read(tags: list[str]) -> None:
    """Strange tags are no error; what is read is what we would write."""
    found = parse_tags(tags)
    assert found is None or set(tags_for(found)) <= {*tags, f"expire-after-days={found.expire_after_days}"}


@pytest.mark.parametrize("wrong", ["a,b", "a ", ",", "a\n"])
def test_what_restic_would_change_is_refused(wrong: str) -> None:
    """restic splits tags at commas and trims them."""
    with pytest.raises(ValueError, match="comma"):
        tags_for(msgspec.structs.replace(TAGS, job=wrong))


@pytest.mark.parametrize("wrong", ["layer=cooked", "priority=P9", "type=half", "tier=warm", "expire-after-days=-1"])
def test_words_outside_the_grammar(wrong: str) -> None:
    """A value that we do not know makes the snapshot none of ours."""
    key = wrong.partition("=")[0]
    assert parse_tags([tag for tag in tags_for(TAGS) if not tag.startswith(f"{key}=")] + [wrong]) is None


@given(TEXT | st.sampled_from(["..", ".", "../../victim", "/etc", "a/b", "a\n", "Exams", "-x", "a" * 65]))
def test_a_domain_is_one_name(domain: str) -> None:
    """Whatever another writer puts there: it is a name as a policy has, or the snapshot is not ours."""
    found = parse_tags([*tags_for(TAGS)[1:], f"domain={domain}"])
    assert (found is not None) == (re.fullmatch(NAME, domain) is not None)
    assert found is None or (found.domain == os.path.basename(domain) and found.domain not in ("", ".", ".."))


@pytest.mark.parametrize("days", ["", "1_000", "٣٠", "1.5", "0x10", " 30"])
def test_days_are_plain_digits(days: str) -> None:
    """Not all that Python takes for a number is one."""
    assert parse_tags([*tags_for(TAGS)[:-1], f"expire-after-days={days}"]) is None
