"""The only Jinja environment: what it declares, what it refuses, and whom it blames."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from newsletter import config
from newsletter.content.blocks import Role
from newsletter.content.values import Kind
from newsletter.errors import RenderingError
from newsletter.templating import blaming, open_templates

MACROS = """
{% macro mail(block, issue) %}<mj-text>{{ block.title }}</mj-text>{% endmacro %}
{% macro text(block, issue) %}{{ block.title }}{% endmacro %}
{% macro web(block, issue) %}<p title="{{ block.title }}">{{ block.items }}</p>{% endmacro %}
"""
ABOUT = '{% set about = {"help": "Un bloc.", "fields": {"lien": {"type": "url"}}} %}'


@pytest.fixture
def write(settings: config.Settings):
    """Write one block file and open the templates."""

    def write_block(text: str, name: str = "carte"):
        path = settings.templates_dir / "blocks" / f"{name}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return open_templates(settings)

    return write_block


def refusal(write, text: str, name: str = "carte") -> RenderingError:
    with pytest.raises(RenderingError) as caught:
        write(text, name)
    return caught.value


def test_a_publication_without_templates_has_no_blocks(settings: config.Settings):
    templates = open_templates(settings)
    assert (dict(templates.blocks), dict(templates.theme)) == ({}, {})


def test_a_block_file_declares_itself(write):
    templates = write(
        '{% set about = {"help": "Une carte.", "example": "::: carte", "role": "more",'
        ' "fields": {"lien": {"type": "url", "required": True, "help": "où"},'
        ' "mots": {"type": "list"}}} %}' + MACROS
    )
    block = templates.blocks["carte"]
    assert (block.path, block.help, block.example) == (
        "templates/blocks/carte.j2",
        "Une carte.",
        "::: carte",
    )
    assert block.role is Role.MORE
    assert list(block.fields) == ["lien", "mots"]
    assert (block.fields["lien"].kind, block.fields["lien"].required) == (Kind.URL, True)
    assert block.fields["lien"].help == "où"


def test_mail_and_web_escape_and_text_does_not(write):
    templates = write(ABOUT + MACROS)
    block = {"title": 'a <b> & "c"', "items": "<i>"}
    html = templates.html.get_template("blocks/carte.j2").module
    plain = templates.plain.get_template("blocks/carte.j2").module
    assert html.mail(block, {}) == "<mj-text>a &lt;b&gt; &amp; &#34;c&#34;</mj-text>"
    assert html.web(block, {}) == '<p title="a &lt;b&gt; &amp; &#34;c&#34;">&lt;i&gt;</p>'
    assert plain.text(block, {}) == 'a <b> & "c"'


def test_a_text_with_braces_is_data(write):
    module = write(ABOUT + MACROS).html.get_template("blocks/carte.j2").module
    assert module.text({"title": "{{7*7}} {% raise %}"}, {}) == "{{7*7}} {% raise %}"


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ('{"help": "x", "fields": {"lien": {"type": "urll"}}}', "did you mean url"),
        ('{"help": "x", "fields": {"lien": {}}}', "unknown type"),
        ('{"help": "x", "fields": {"lien": {"type": "url", "requird": True}}}', "badly declared"),
        ('{"help": "x", "fields": {"le lien": {"type": "url"}}}', "cannot name a field"),
        ('{"help": "x", "fields": {"body": {"type": "url"}}}', "word of the engine"),
        ('{"help": "x", "fields": {"children": {"type": "url"}}}', "word of the engine"),
        ('{"help": "x", "fields": []}', "not a mapping"),
        ('{"help": "x", "role": "footer"}', "unknown role"),
        ('{"help": "x", "feilds": {}}', "no key"),
        ('{"fields": {}}', "no help"),
        ('"texte"', "not a mapping"),
    ],
)
def test_a_bad_declaration_is_refused_by_file(write, about: str, said: str):
    error = refusal(write, "{% set about = " + about + " %}" + MACROS)
    assert said in str(error)
    assert (error.block, error.path) == ("carte", "templates/blocks/carte.j2")


def test_a_block_s_name_is_what_an_editor_can_type(write):
    assert "cannot name a block" in str(refusal(write, ABOUT + MACROS, "Été"))


def test_a_block_file_without_about_is_refused(write):
    assert "about" in str(refusal(write, MACROS))


def test_a_field_declared_twice_is_refused_at_its_line(write):
    about = (
        '{% set about = {"help": "x", "fields": {\n"lien": {"type": "url"},\n'
        '"lien": {"type": "text"}}} %}'
    )
    error = refusal(write, about + MACROS)
    assert "given twice" in str(error)
    assert (error.path, error.line) == ("templates/blocks/carte.j2", 3)


@pytest.mark.parametrize("medium", ["mail", "text", "web"])
def test_a_missing_macro_is_named(write, medium: str):
    text = ABOUT + MACROS.replace(f"macro {medium}(", f"macro autre_{medium}(")
    assert f"{medium}(block, issue)" in str(refusal(write, text))


def test_a_macro_with_other_parameters_is_refused(write):
    text = ABOUT + MACROS.replace("mail(block, issue)", "mail(bloc)")
    assert "mail(block, issue)" in str(refusal(write, text))


def test_the_block_of_examples_is_one(write):
    about = '{% set about = {"help": "x", "role": "examples"} %}'
    write(about + MACROS, "exemples")
    assert "exemples.j2" in str(refusal(write, about + MACROS, "exemplesbis"))


def test_a_syntax_error_has_its_file_and_line(write):
    error = refusal(write, ABOUT + "\n\n{% if %}" + MACROS)
    assert (error.block, error.path, error.line) == ("carte", "templates/blocks/carte.j2", 3)


def test_a_failing_macro_has_its_file_and_line(write, settings: config.Settings):
    macros = MACROS.replace("<mj-text>", "\n\n{{ block.absent.deeper }}")
    module = write(ABOUT + macros).html.get_template("blocks/carte.j2").module
    with (
        pytest.raises(RenderingError) as caught,
        blaming(settings.root, block="carte", path="issues/2026-11-26/10-a.md"),
    ):
        module.mail({"title": "x"}, {})
    assert (caught.value.path, caught.value.line) == ("templates/blocks/carte.j2", 4)
    assert isinstance(caught.value.__cause__, UndefinedError)


def test_a_failing_page_has_its_file_and_line(settings: config.Settings):
    page = settings.templates_dir / "web" / "page.j2"
    page.parent.mkdir(parents=True)
    page.write_text("a\n{% set x = 1 %}\n{{ 1 // 0 }}\n", encoding="utf-8")
    template = open_templates(settings).html.get_template("web/page.j2")
    with pytest.raises(RenderingError) as caught, blaming(settings.root):
        template.render()
    assert (caught.value.path, caught.value.line) == ("templates/web/page.j2", 3)


def test_a_field_may_bear_the_name_of_a_method(write):
    module = write(ABOUT + MACROS).html.get_template("blocks/carte.j2").module
    assert "les objets" in module.web({"title": "x", "items": "les objets"}, {})


@pytest.mark.parametrize(
    "expression",
    [
        "block.clear()",
        "block.__class__.__mro__",
        "block|attr('__class__')",
        "''.__class__",
        "block.update({'a': 1})",
        "'{0.__class__}'.format(block)",
        "self.__init__.__globals__",
    ],
)
def test_a_template_can_neither_change_nor_leave_what_it_is_given(write, expression: str):
    macros = MACROS.replace("{{ block.title }}</mj-text>", "{{ " + expression + " }}</mj-text>")
    module = write(ABOUT + macros).html.get_template("blocks/carte.j2").module
    with pytest.raises((SecurityError, UndefinedError)):
        module.mail({"title": "x"}, {})


@pytest.mark.parametrize("name", ["../newsletter.toml", "/etc/passwd", "blocks/../../x"])
def test_a_template_cannot_be_read_outside_its_folder(write, name: str):
    error = refusal(write, ABOUT + "{% include '" + name + "' %}" + MACROS)
    assert error.path == "templates/blocks/carte.j2"


def test_a_link_out_of_the_folder_is_no_template(write, settings: config.Settings, tmp_path: Path):
    (settings.root / "secret.txt").write_text("secret", encoding="utf-8")
    write(ABOUT + MACROS)
    (settings.templates_dir / "fuite.j2").symlink_to(settings.root / "secret.txt")
    assert "fuite" in str(refusal(write, ABOUT + "{% include 'fuite.j2' %}" + MACROS, "autre"))


@pytest.mark.parametrize("impure", ["{{ [1, 2] | random }}", "{{ lipsum() }}"])
def test_nothing_random_can_enter_a_mail(write, impure: str):
    refusal(write, ABOUT + MACROS + impure)


def test_the_theme_is_read(settings: config.Settings):
    settings.templates_dir.mkdir()
    (settings.templates_dir / "theme.toml").write_text('[colours]\nink = "#000000"\n')
    assert open_templates(settings).theme == {"colours": {"ink": "#000000"}}


def test_a_broken_theme_has_its_line(settings: config.Settings):
    settings.templates_dir.mkdir()
    (settings.templates_dir / "theme.toml").write_text("[colours]\nink = #000\n")
    with pytest.raises(RenderingError) as caught:
        open_templates(settings)
    assert (caught.value.path, caught.value.line) == ("templates/theme.toml", 2)


def test_a_theme_that_is_no_file_is_named_without_the_systems_numbers(settings: config.Settings):
    (settings.templates_dir / "theme.toml").mkdir(parents=True)
    with pytest.raises(RenderingError) as caught:
        open_templates(settings)
    assert caught.value.path == "templates/theme.toml"
    assert "Errno" not in str(caught.value)


def test_templates_are_opened_anew_when_a_file_changes(write, settings: config.Settings):
    first = write(ABOUT + MACROS)
    assert open_templates(settings) is first
    second = write(ABOUT.replace("Un bloc.", "Un autre bloc.") + MACROS)
    assert second.blocks["carte"].help == "Un autre bloc."
