"""What a screen reader says of a mail, and what an inbox shows of it."""

from __future__ import annotations

from newsletter.previewing.spoken import Kind, listen, snippet

PAGE = """<body><p style="display:none">Accroche&#847;&zwnj;</p><main><article aria-label="Numéro">
<h1>Un <b>titre</b></h1><table role="presentation"><tr><td><img src="p" alt="Un pont"></td></tr>
</table><img src="q" alt=""><h2>Suite</h2><p aria-hidden="true">rien</p>
<a href="https://a.example/" aria-label="Lire la suite : Trois">Lire</a>
<a href="https://b.example/"><img src="r" alt="Logo"></a></article></main></body>"""


def test_a_screen_reader_hears_landmarks_headings_images_and_links_in_order():
    heard = [(one.kind, one.role or one.words) for one in listen(PAGE)]
    assert heard == [
        (Kind.LANDMARK, "main"),
        (Kind.LANDMARK, "article"),
        (Kind.HEADING, "Un titre"),
        (Kind.PICTURE, "Un pont"),
        (Kind.PICTURE, ""),
        (Kind.HEADING, "Suite"),
        (Kind.LINK, "Lire la suite : Trois"),
        (Kind.LINK, "Logo"),
        (Kind.PICTURE, "Logo"),
    ]


def test_an_inbox_shows_the_preheader_and_stops_at_its_padding():
    assert snippet(PAGE) == "Accroche"


def test_without_a_preheader_an_inbox_shows_the_first_words():
    assert snippet("<body><p>Bonjour</p><p>Camille</p></body>") == "Bonjour Camille"
