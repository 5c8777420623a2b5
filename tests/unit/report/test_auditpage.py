"""What an auditor is handed is whole, and does nothing but be read."""

import csv
import html.parser
import io
import json
from datetime import UTC

from resticwrap.report import auditpage
from tests.unit.report import samples


def test_no_cell_of_the_table_is_a_formula() -> None:
    """Whoever it was and whatever they wrote, a spreadsheet shows it; one line for each record."""
    rows = list(csv.DictReader(io.StringIO(auditpage.document(samples.audit_export(), "csv", UTC))))
    assert [row["kind"] for row in rows] == ["drill", "override"]
    assert not [cell for row in rows for cell in row.values() if cell.lstrip().startswith(auditpage.FORMULA)]
    assert rows[1]["by"] == "'=cmd()"
    drill = rows[0]
    assert (drill["actual_rpo_seconds"], drill["actual_rto_seconds"], drill["sampled"]) == ("242", "12.2", "6")
    assert drill["snapshots"].split() == [samples.hexes(4), samples.hexes(2)]
    assert drill["failures"].startswith("1 objects; 2 pack_missing; =1+1")
    assert json.loads(drill["body"])["seed"] == 7


class Page(html.parser.HTMLParser):
    """Counts tags, and what they ask for from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asked: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked += [value for name, value in attrs if name in ("src", "href", "srcset") or name.startswith("on")]


def test_the_page_stands_alone() -> None:
    """It asks for nothing, runs nothing, shows the text of others as text, and says loudly what does not hold."""
    text = auditpage.document(samples.audit_export(), "html", UTC)
    page = Page()
    page.feed(text)
    assert page.asked == [] and not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "url(" not in text and "@import" not in text and "size: A4" in text
    assert "&lt;script&gt;" in text and "\x1b" not in text and "\u202e" not in text
    assert "DO NOT HOLD" in text and "Record 7 is gone from the end" in text
    assert page.tags.count("table") == 3
    text.encode()
