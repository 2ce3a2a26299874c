"""Reading what spreadsheets write."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.audience.sheets import guard, read_sheet
from newsletter.config import CONTROLS
from newsletter.errors import RowError

TEXT = "email;prénom;nom\r\nalix@example.org;Maëlle;Œuvrard\r\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "utf-8"),
        (TEXT.encode("cp1252"), "cp1252"),
        (TEXT.encode("utf-16"), "utf-16"),
        (TEXT.replace("\r\n", "\n").encode(), "utf-8"),
        (TEXT.replace("\r\n", "\r").encode(), "utf-8"),
        (("sep=;\r\n" + TEXT).encode(), "utf-8"),
    ],
)
def test_every_way_of_saving_gives_the_same_row(content, encoding):
    sheet = read_sheet(content)
    assert sheet.encoding == encoding
    assert sheet.rows[0].cells == {
        "address": "alix@example.org",
        "first_name": "Maëlle",
        "last_name": "Œuvrard",
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_the_one_that_names_columns(delimiter):
    text = delimiter.join(["Adresse e-mail", "Nom", "Base légale"]) + "\n"
    text += delimiter.join(["a@example.org", '"Le Goff, Anne"', "consentement"])
    sheet = read_sheet(text.encode())
    assert sheet.rows[0].cells["last_name"] == "Le Goff, Anne"


def test_decomposed_accents_are_composed():
    sheet = read_sheet("email,prenom\na@example.org,Mae\u0308lle".encode())
    assert sheet.rows[0].cells["first_name"] == "Maëlle"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('a@example.org,"Le Goff', "quotation-mark"),
        ("a@example.org,Anne,trop", "too-many-cells"),
        ("a@example.org,An\x00ne", "control-character"),
        ("a@example.org,An\u2028ne", "control-character"),
        ("a@example.org,=cmd|' /C calc'!A0", "formula"),
        ("a@example.org," + "x" * 1001, "too-long"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_others_kept(line, code):
    sheet = read_sheet(f"email,nom\nb@example.org,B\n{line}\n\nc@example.org,C\n".encode())
    assert [row.line for row in sheet.rows] == [2, 5]
    (finding,) = sheet.findings
    assert (finding.code, finding.line) == (code, 3)


def test_one_broken_line_in_a_utf8_file_does_not_garble_the_others():
    lines = ["email,nom", "a@example.org,Émile", "b@example.org,Zoé", "d@example.org,Élan"]
    sheet = read_sheet("\n".join(lines).encode() + b"\nc@example.org,Ren\xe9\n")
    assert sheet.encoding == "utf-8"
    assert [row.cells["last_name"] for row in sheet.rows] == ["Émile", "Zoé", "Élan"]
    assert [(f.code, f.line) for f in sheet.findings] == [("encoding", 5)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"a@example.org\nb@example.org\n", "name the columns"),
        (b"nom,prenom\nA,B\n", "holds the address"),
        (b"email,nom,mail\n", "two columns"),
        (b"email" + b",x" * 64, "64 columns"),
        (b'email,"nom\n', "does not close"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "name the columns"),
        (b"PK\x03\x04" + bytes(range(256)), "workbook"),
    ],
)
def test_a_file_that_is_no_list_is_refused_whole(content, said):
    with pytest.raises(RowError, match=said):
        read_sheet(content)


def test_an_unknown_column_is_said_and_left_out():
    sheet = read_sheet(b"email,couleur,pourquoi\na@example.org,bleu,parce que\n")
    assert [f.facts["column"] for f in sheet.findings] == ["couleur"]
    assert sheet.rows[0].cells == {"address": "a@example.org"}


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(content):
    try:
        sheet = read_sheet(b"email;nom\n" + content)
    except RowError:
        return
    for row in sheet.rows:
        assert not any(CONTROLS.search(cell) for cell in row.cells.values())


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), min_size=1)


@given(st.from_regex(r"['=+@-]{0,3}", fullmatch=True), PRINTABLE)
def test_an_exported_cell_is_no_formula_and_comes_back_as_it_was(start, rest):
    from unicodedata import normalize

    cell = normalize("NFC", start + rest).strip()
    out = io.StringIO()
    csv.writer(out).writerow(["a@example.org", guard(cell)])
    assert guard(cell)[0] not in "=+-@"
    sheet = read_sheet(f"email,nom\n{out.getvalue()}".encode())
    assert sheet.rows[0].cells["last_name"] == cell
