"""The list by hand: imports planned and done, people added and let go."""

import json

import pytest

from newsletter.cli.output import Exit


def test_an_import_is_planned_before_it_is_applied(say, folder):
    people = str(folder / "subscribers" / "people.csv")
    counts = json.loads(say("subscribers", "import", people, "--json")[1])["counts"]
    assert counts["added"] == 2
    assert "@" not in say("subscribers", "export")[1]
    say("subscribers", "import", people, "--apply")
    assert say("subscribers", "export")[1].count("@") == 2


def test_what_is_wrong_in_a_list_names_the_file_and_the_line(say, tmp_path):
    (tmp_path / "list.csv").write_text("email\na@example.org\n", encoding="utf-8")
    code, out, _ = say("subscribers", "import", str(tmp_path / "list.csv"), "--json")
    (finding,) = json.loads(out)["findings"]
    assert (code, finding["file"], finding["line"]) == (Exit.DECIDE, "list.csv", 2)


def test_a_list_with_too_many_faults_shows_the_first_hundred(say, tmp_path):
    columns = ["email;base_legale\n", *(f"a{n}@example.org;mot {n}\n" for n in range(150))]
    (tmp_path / "list.csv").write_text("".join(columns), encoding="utf-8")
    out = say("subscribers", "import", str(tmp_path / "list.csv"))[1]
    assert (out.count("[unknown-basis]"), "and 50 more" in out) == (100, True)


def test_one_fault_of_many_lines_is_told_once(say, tmp_path):
    lines = ["email", "a@example.org", "nobody", *(f"b{n}@example.org" for n in range(150))]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    out = say("subscribers", "import", str(tmp_path / "list.csv"))[1]
    assert out.count("[no-basis]") == 1
    assert "The same in 150 more: lines 4 to 153" in out


def test_a_list_without_end_is_one_clear_error(say):
    code, _, err = say("subscribers", "import", "/dev/zero")
    assert (code, "larger than 64 MB" in err) == (Exit.USAGE, True)


def test_a_person_can_be_added_shown_paused_let_go_and_erased(say):
    added = ("subscribers", "add", "zoe@example.org", "--basis", "consentement")
    assert say(*added, "--evidence", "bulletin papier du 3 mai")[0] == Exit.DONE
    assert "zoe@example.org" in say("subscribers", "show", "zoe@example.org")[1]
    assert say("subscribers", "pause", "zoe@example.org", "--until", "2030-01-01")[0] == Exit.DONE
    assert "unsubscribed" in say("subscribers", "unsubscribe", "zoe@example.org")[1]
    assert "erased" in say("subscribers", "erase", "zoe@example.org")[1]
    assert say(*added, "--evidence", "encore")[0] == Exit.DECIDE


def test_unsubscribing_a_mistyped_address_says_that_nobody_left(say, issue):
    state = json.loads(say("subscribers", "unsubscribe", "ailx@example.org", "--json")[1])["state"]
    assert ("not on the list" in state, "check the spelling" in state) == (True, True)
    assert "state: active" in say("subscribers", "show", "alix.durand@example.org")[1]


def test_unsubscribing_somebody_twice_says_what_they_were(say, issue):
    leave = ("subscribers", "unsubscribe", "alix.durand@example.org")
    assert "state unsubscribed" in say(*leave)[1]
    assert "state was unsubscribed already" in say(*leave)[1]


@pytest.mark.parametrize("content", [b"PK\x03\x04...", b"", b"prenom;nom\nAlix;Durand\n"])
def test_a_file_that_is_no_list_is_a_usage_error(say, tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)
    code, _, err = say("subscribers", "import", str(tmp_path / "list.csv"))
    assert (code, "list.csv" in err) == (Exit.USAGE, True)


def test_a_file_that_is_not_there_is_one_clear_error(say):
    code, _, err = say("subscribers", "import", "nowhere.csv")
    assert (code, "nowhere.csv" in err) == (Exit.USAGE, True)
