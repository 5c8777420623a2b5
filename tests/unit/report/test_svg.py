"""The picture in the README."""

from xml.etree import ElementTree as ET

from resticwrap.report.svg import status_svg
from tests.unit.report import samples


def test_the_picture_is_the_same_for_the_same_report() -> None:
    """Whatever the terminal; it has every domain, is well-formed and fetches nothing."""
    picture = status_svg(samples.status())
    assert picture == status_svg(samples.status())
    ET.fromstring(picture)
    assert all(name in picture for name, _, _ in samples.DOMAINS)
    assert "url(http" not in picture and "@font-face" not in picture and "@import" not in picture
    assert 'id="rw-status-' in picture
