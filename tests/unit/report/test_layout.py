"""Lines fit their width, whatever is in them."""

from hypothesis import given
from hypothesis import strategies as st

from resticwrap.report import layout
from resticwrap.report.layout import Column

TEXT = st.text(max_size=60)


def text_of(line: layout.Line) -> str:
    return "".join(text for text, _ in line)


@given(TEXT, st.integers(0, 40))
def test_shortened_text_fits(text: str, width: int) -> None:
    assert layout.cells(layout.shorten(text, width, "end")) <= width
    assert layout.cells(layout.shorten(text, width, "middle")) <= width
    if layout.cells(text) <= width:
        assert layout.shorten(text, width) == text


@given(st.lists(TEXT, max_size=4), st.integers(12, 80))
def test_wrapped_lines_fit_and_lose_nothing(parts: list[str], width: int) -> None:
    lines = layout.wrap(parts, width, indent=2, hang=2)
    assert all(layout.cells(text_of(line)) <= width for line in lines)
    whole = "".join(text_of(layout.line(parts)).split(" "))
    assert "".join(text_of(line) for line in lines).replace(" ", "") == whole


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), max_size=4), st.integers(1, 120))
def test_tables_fit(rows: list[tuple[str, str, str, str]], width: int) -> None:
    columns = (
        Column("Name", least=8, cut="middle"), Column("Size", right=True), Column("Why", least=6), Column("X", rank=1)
    )  # fmt: skip
    lines = layout.table(columns, rows, width)
    assert len(lines) == len(rows) + 1
    assert all(layout.cells(text_of(line)) <= width for line in lines)


def test_columns_give_way_in_order() -> None:
    """The highest rank goes first, then names are shortened; without a width everything stays."""
    columns = (Column("Path", least=8, cut="middle"), Column("Low", rank=2), Column("Mid", rank=1))
    row = [("a/very/long/path/of/a/file.json", "low", "middle")]

    def shown(width: int | None) -> list[str]:
        return [text_of(line).rstrip() for line in layout.table(columns, row, width)]

    assert shown(None) == ["PATH                             LOW  MID", "a/very/long/path/of/a/file.json  low  middle"]
    assert shown(40)[1] == "a/very/long/p…f/a/file.json  low  middle"
    assert shown(20) == ["Path          Mid", "a/ver…e.json  middle"]
    assert shown(14) == ["Path", "a/very…le.json"]
    assert shown(3) == ["Pat", "a…o"]
