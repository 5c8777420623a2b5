"""Pins: in the bucket and in the catalogue, and either is enough to keep a snapshot."""

import json
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.services import pins
from resticwrap.services.context import Context
from resticwrap.services.rebuild import rebuild
from tests.lab import RAW, Lab


def pin_files(lab: Lab) -> list[Path]:
    return sorted((lab.store / "backups" / lab.namespace / "pins").glob("*.json"))


@pytest.fixture
def one(lab: Lab) -> Lab:
    """One snapshot of one domain."""
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.write("exams/a", "a")
    lab.rw("backup")
    return lab


def original(context: Context) -> str:
    return context.hot.snapshots()[0].original


def test_a_life_of_a_pin(one: Lab) -> None:
    first = one.json("snapshots")[0]["snapshot"]["original"]
    assert one.json("pin", first[:8], "--reason", "audit", "--dry-run")["action"] == "planned"
    assert pin_files(one) == []
    made = one.json("pin", first[:8], first, "--reason", "audit", "--kind", "incident", "--until", "2999-01-01T00:00")
    (pin,) = made["pins"]
    assert (pin["snapshots"], pin["reason"], pin["kind"]) == ([first], "audit", "incident")
    assert [json.loads(file.read_bytes())["id"] for file in pin_files(one)] == [pin["id"]]
    shown = one.rw("pin", "--list").out
    assert "audit" in shown and pin["id"] in shown
    assert one.json("unpin", pin["id"][:-2])["action"] == "released"
    assert len(pin_files(one)) == 1  # released by writing it over
    assert "released already" in one.rw("unpin", pin["id"], code=1).err


def test_what_cannot_be_pinned_or_released(one: Lab) -> None:
    with one.house() as built:
        context = built.context
        first = original(context)
        for wanted, reason in (("0123456789", "x"), (first[:3], "x"), (first, " ")):
            with pytest.raises((errors.NotFound, errors.UsageError)):
                pins.pin(context, [wanted], reason)
        with pytest.raises(errors.UsageError):
            pins.pin(context, [first], "x", until=context.clock.now())
        assert pin_files(one) == []
        for number in range(2):
            pins.pin(context, [first], str(number))
        for wanted, said in (("pin_20", "2 pins begin"), ("pin_", "no pin"), ("nope", "no pin")):
            with pytest.raises(errors.NotFound, match=said):
                pins.unpin(context, wanted)
        assert pins.unpin(context, pins.pins(context)[0].id, dry_run=True).action == "planned"
        assert len(pins.listed(context).pins) == 2


def test_either_is_enough(one: Lab) -> None:
    """On a bare machine a rebuild brings it back; and where the bucket lost it, the catalogue has it."""
    with one.house() as built:
        name = pins.pin(built.context, [original(built.context)], "audit").pins[0].id
    one.copy_state_away()
    (file,) = pin_files(one)
    held = file.read_bytes()
    with one.house() as built:
        assert rebuild(built.context).pins == 1
        assert [pin.id for pin in built.catalog.pins("main")] == [name]
        file.unlink()
        assert [pin.id for pin in pins.listed(built.context).pins] == [name]
        file.write_bytes(held)
        pins.unpin(built.context, name)
        file.write_bytes(held)  # as from an old copy of the bucket: a release that either knows counts
        assert pins.listed(built.context).pins == ()
        assert len(pins.listed(built.context, everything=True).pins) == 1


def test_a_pin_holds_though_the_catalogue_is_down_when_it_is_made(one: Lab) -> None:
    with one.house() as built:
        first = original(built.context)
    one.env["RW_CATALOG_URL"] = "sqlite:////dev/null/x"
    made = one.json("pin", first, "--reason", "audit")
    assert "The bucket has it" in made["notes"][0]
    del one.env["RW_CATALOG_URL"]
    with one.house() as built:
        assert [pin.reason for pin in pins.pins(built.context)] == ["audit"]
        assert [pin.reason for pin in built.catalog.pins("main")] == ["audit"]


def test_without_bucket_or_catalogue_nothing_is_known(one: Lab) -> None:
    with one.house() as built:
        pins.pin(built.context, [original(built.context)], "audit")
        (file,) = pin_files(one)
        held = file.read_bytes()
        for wrong in (b"{", held.replace(b"pin_2", b"pin_3")):
            file.write_bytes(wrong)
            with pytest.raises(errors.Damaged, match="nothing may be removed"):
                pins.pins(built.context)
            assert "nothing may be removed" in rebuild(built.context).skipped[0]
    one.env["RW_CATALOG_URL"] = "sqlite:////dev/null/x"
    with one.house() as built, pytest.raises(errors.CatalogUnavailable):
        pins.pins(built.context)
