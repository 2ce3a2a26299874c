"""Every command as a person types it, in a publication made by `init`."""

import errno
import json
import re
import shlex
import socket
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import typer

from newsletter.cli import issues, options
from newsletter.cli.app import PANELS, app, register, run
from newsletter.cli.output import Exit

PARIS = ZoneInfo("Europe/Paris")

register()


def walk(group, path=()):
    for command in group.registered_commands:
        name = command.name or command.callback.__name__.rstrip("_")
        yield (*path, name), command.callback
    for sub in group.registered_groups:
        yield from walk(sub.typer_instance, (*path, sub.name))


COMMANDS = dict(walk(app))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_json_and_config(path):
    options = {
        option
        for parameter in typer.main.get_params_from_function(COMMANDS[path]).values()
        for option in getattr(parameter.default, "param_decls", None) or ()
    }
    assert {"--json", "--config"} <= options


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path, capsys):
    assert run([*path, "--help"]) == Exit.DONE
    assert "Usage: newsletter" in capsys.readouterr().out


def test_the_short_help_of_every_command_fits_its_line(capsys):
    run(["--help"])
    assert "..." not in capsys.readouterr().out.partition("Start:")[2]


def test_the_help_shows_the_commands_in_the_order_in_which_one_meets_them(capsys):
    run(["--help"])
    out = capsys.readouterr().out
    headings = [line.rstrip(":") for line in out.splitlines() if re.fullmatch(r"[A-Z]\w+:", line)]
    assert tuple(headings) == ("Options", *PANELS)
    assert all(f"  {name} " in out for name in {path[0] for path in COMMANDS})


@pytest.mark.parametrize("arguments", [[], ["subscribers"]])
def test_without_a_command_the_help_is_shown_as_it_is(capsys, arguments):
    assert run(arguments) == Exit.USAGE
    assert capsys.readouterr().err.startswith("Usage: newsletter")


def test_the_way_into_a_new_folder_can_be_copied_whatever_its_name(tmp_path, capsys):
    folder = tmp_path / "La lettre d'été"
    assert run(["init", str(folder)]) == Exit.DONE
    steps = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if "  cd" in line]
    assert steps == [["cd", str(folder)]]


def test_each_step_names_the_next_one(say, issue):
    assert f"newsletter approve {issue}" in say("check", issue)[1]
    assert f"newsletter send {issue} --now" in say("approve", issue, "--by", "Camille")[1]
    say("send", issue, "--now")
    assert "Next:" not in say("check", issue)[1]


def test_an_issue_that_is_not_there_cannot_be_signed(say):
    assert say("approve", "2041-05-02", "--by", "Camille", "--json")[0] == Exit.USAGE


def test_a_signature_for_an_empty_list_warns_that_nobody_would_receive_it(say):
    issue = json.loads(say("new", "--json")[1])["issue"]
    code, out, _ = say("approve", issue, "--by", "Camille")
    assert code == Exit.DONE
    assert "nobody on the list would receive it" in out
    assert "newsletter subscribers import FILE --apply" in out


def test_an_unknown_command_is_a_usage_error(capsys):
    assert run(["sned"]) == Exit.USAGE
    assert "newsletter --help" in capsys.readouterr().err


def test_a_usage_error_is_json_too(capsys):
    assert run(["check", "--json"]) == Exit.USAGE
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "message", "path", "line", "remedy"}


def test_a_folder_without_publication_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["doctor"]) == Exit.USAGE
    assert "newsletter init DIR" in capsys.readouterr().err


def test_a_bug_is_one_line_and_70(monkeypatch, capsys, folder):
    def broken(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("newsletter.doctor.diagnose", broken)
    assert run(["doctor", "--config", str(folder)]) == Exit.BUG
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said


def test_a_file_that_nobody_may_read_is_no_bug(say, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied", "/lettre/issues")

    monkeypatch.setattr(options.Publication, "settings", property(refuse))
    code, out, _ = say("check", "2026-11-26", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["path"]) == (Exit.OUTSIDE, "file", "/lettre/issues")


def test_a_new_publication_sends_unedited(say, issue):
    assert say("check", issue)[0] == Exit.DONE
    assert say("approve", issue, "--by", "Camille")[0] == Exit.DONE
    code, out, _ = say("send", issue, "--now", "--json")
    assert (code, json.loads(out)["state"]) == (Exit.DONE, "done")
    report = json.loads(say("report", issue, "--json")[1])
    assert (report["audience"], report["sent"]) == (2, 2)


def test_before_the_slot_send_says_when_it_leaves(say, issue):
    say("approve", issue, "--by", "Camille")
    code, _, err = say("send", issue)
    assert code == Exit.DECIDE
    assert "leaves on" in err


def test_now_never_sets_approval_aside(say, issue):
    code, out, _ = say("send", issue, "--now", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (Exit.DECIDE, "held")


def test_sending_again_says_already_sent(say, issue):
    say("approve", issue, "--by", "Camille")
    say("send", issue, "--now")
    code, out, _ = say("send", issue, "--now")
    assert (code, "already sent" in out) == (Exit.DONE, True)


def test_a_rehearsal_composes_everybody_and_sends_nobody(say, issue, folder):
    code, out, _ = say("send", issue, "--dry-run", "--json")
    assert code == Exit.DONE
    assert json.loads(out) | {"message_bytes": 0} == {
        "issue": issue, "readers": 2, "message_bytes": 0, "sent": 0,
    }  # fmt: skip
    assert not (folder / "var" / "mailbox").exists()


def test_a_proof_is_numbered_and_leaves_no_run(say, issue, folder):
    code, out, _ = say("send", issue, "--to", "camille@example.org", "--json")
    assert (code, json.loads(out)["proof"]) == (Exit.DONE, 1)
    assert len(list((folder / "var" / "mailbox" / ".Letters" / "new").iterdir())) == 1
    assert say("report", issue)[0] == Exit.USAGE


def test_a_proof_kept_on_this_machine_says_where(say, issue, folder):
    out = say("send", issue, "--to", "camille@example.org")[1]
    (proof,) = (folder / re.search(r"kept in (\S+)", out)[1]).iterdir()
    assert "Delivered-To: camille@example.org" in proof.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "a@example.org", "--to", "nobody"),
        ("--to", "a@example.org\r\nBcc: b@example.org"),
        ("--to", ""),
        ("--to", "a@example.org", "--dry-run"),
        ("--to", "a@example.org", "--now"),
    ],
)
def test_a_proof_to_a_wrong_address_sends_none(say, issue, folder, arguments):
    assert say("send", issue, *arguments)[0] == Exit.USAGE
    assert not (folder / "var" / "mailbox" / ".Letters").exists()


def test_one_changed_comma_voids_the_approval(say, issue, folder):
    say("approve", issue, "--by", "Camille")
    story = folder / "issues" / issue / "issue.md"
    story.write_text(story.read_text(encoding="utf-8") + ",\n", encoding="utf-8")
    code, out, _ = say("send", issue, "--now", "--json")
    assert (code, "changed" in json.loads(out)["error"]["message"]) == (Exit.DECIDE, True)


def test_findings_have_their_place_and_their_remedy(say, issue, folder):
    (folder / "issues" / issue / "20-faux.md").write_text("---\ntitr: x\n---\n", encoding="utf-8")
    code, out, _ = say("check", issue, "--json")
    document = json.loads(out)
    assert code == Exit.DECIDE
    assert set(document) == {"issue", "digest", "findings"}
    found = [one for one in document["findings"] if one["file"].endswith("20-faux.md")]
    assert {"severity", "code", "message", "file", "line", "remedy"} == set(found[0])
    assert any(one["line"] == 2 and "titre" in one["remedy"] for one in found)


def test_sarif_is_written_beside(say, issue, tmp_path):
    say("check", issue, "--sarif", str(tmp_path / "check.sarif"))
    assert json.loads((tmp_path / "check.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"


def test_rendering_writes_what_opens_by_a_click(say, issue, tmp_path):
    code, out, _ = say("render", issue, "--out", str(tmp_path / "out"), "--json")
    assert code == Exit.DONE
    names = {file.rpartition("/")[2] for file in json.loads(out)["files"]}
    assert {"index.html", "web.html", "issue.txt", "issue.eml", "edition.json"} <= names


@pytest.mark.parametrize(
    "command",
    [
        ("skip", "2041-05-02", "--reason", "pont"),
        ("subscribers", "add", "a@example.org", "--basis", "consentement", "--evidence", "oral"),
        ("subscribers", "unsubscribe", "alix.durand@example.org"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_who_says_so_must_be_one_of_the_people(say, issue, folder, command):
    with (folder / "newsletter.toml").open("a", encoding="utf-8") as file:
        file.write('[[people]]\nname = "Camille Exemple"\naddress = "camille@example.org"\n')
    code, _, err = say(*command, "--by", "Camile Exemple")
    assert (code, "did you mean 'Camille Exemple'" in err) == (Exit.USAGE, True)


def test_what_was_sent_is_no_longer_skipped(say, issue):
    say("approve", issue, "--by", "Camille")
    say("send", issue, "--now")
    code, _, err = say("skip", issue, "--reason", "pont")
    assert (code, "was sent" in err) == (Exit.DECIDE, True)


@pytest.mark.parametrize(
    "arguments", [("skip", "--reason", " "), ("correct", "--by", "Camille", "--note", "")]
)
def test_a_reason_that_is_empty_is_a_usage_error(say, issue, arguments):
    command, *options_given = arguments
    assert say(command, issue, *options_given)[0] == Exit.USAGE


def test_a_user_without_a_name_is_named_by_number(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(options.getpass, "getuser", unknown)
    assert options.name_actor(None, "").startswith("uid ")


def test_a_skipped_slot_is_no_alarm(say, issue):
    assert say("skip", issue, "--reason", "pont", "--by", "Camille")[0] == Exit.DONE
    code, out, _ = say("run", "--at", f"{issue}T08:00", "--json")
    assert (code, "held" in out) == (Exit.DONE, False)


def test_a_signature_for_a_skipped_slot_says_that_it_leaves_by_hand_only(say, issue):
    say("skip", issue, "--reason", "pont", "--by", "Camille")
    code, out, _ = say("approve", issue, "--by", "Camille")
    assert code == Exit.DONE
    assert f"Skipped (by Camille: pont): it leaves only by newsletter send {issue} --now" in out
    assert "It leaves on" not in out


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (-1, "It leaves on"),
        (1, "Its time has come. Next: newsletter send {issue}\n"),
        (4, "Its time is over. Next: newsletter send {issue} --now\n"),
    ],
)
def test_a_signature_says_how_the_issue_leaves(say, issue, monkeypatch, hours, told):
    slot_at = datetime.fromisoformat(f"{issue}T08:00").replace(tzinfo=PARIS)
    monkeypatch.setattr(issues, "now", lambda: slot_at + timedelta(hours=hours))
    code, out, _ = say("approve", issue, "--by", "Camille")
    assert code == Exit.DONE
    assert told.format(issue=issue) in out


def test_the_events_of_a_run_are_lines_or_one_document(say, issue):
    say("approve", issue, "--by", "Camille")
    say("send", issue, "--now")
    lines = say("report", issue, "--events")[1].splitlines()
    document = json.loads(say("report", issue, "--events", "--json")[1])
    assert document == {"issue": issue, "events": [json.loads(line) for line in lines]}


@pytest.mark.parametrize("other", [("--state", "sent"), ("--by", "reason")])
def test_the_events_of_a_run_are_never_a_part_of_them(say, issue, other):
    say("approve", issue, "--by", "Camille")
    say("send", issue, "--now")
    assert say("report", issue, "--events", *other)[0] == Exit.USAGE


@pytest.mark.parametrize(
    ("option", "asked"), [((), "who approves?"), (("--withdraw",), "who withdraws?")]
)
def test_a_signature_and_its_withdrawal_ask_for_a_name(say, issue, folder, option, asked):
    with (folder / "newsletter.toml").open("a", encoding="utf-8") as settings:
        settings.write('[[people]]\nname = "Camille"\naddress = "camille@example.org"\n')
    code, _, err = say("approve", issue, *option)
    assert (code, asked in err) == (Exit.USAGE, True)


def test_a_pause_that_is_over_is_a_usage_error(say, issue):
    pause = ("subscribers", "pause", "alix.durand@example.org", "--until")
    assert say(*pause, "2020-01-01")[0] == Exit.USAGE
    assert say(*pause, "2120-01-01")[0] == Exit.DONE


def test_resolve_needs_exactly_one_way(say, issue):
    assert say("resolve", issue)[0] == Exit.USAGE
    assert say("resolve", issue, "--resend", "--leave")[0] == Exit.USAGE


def test_adopting_what_is_ours_changes_nothing(say):
    say("run")
    assert json.loads(say("adopt", "--json")[1]) == {"adopted": False}


def test_a_copied_database_holds_until_it_is_adopted(say, issue, folder):
    say("run")
    say("approve", issue, "--by", "Camille")
    (folder / "var" / "instance").write_text("another\n", encoding="ascii")
    code, out, _ = say("send", issue, "--now", "--json")
    assert (code, "copy" in json.loads(out)["error"]["message"]) == (Exit.DECIDE, True)
    assert json.loads(say("adopt", "--json")[1]) == {"adopted": True}
    assert say("send", issue, "--now")[0] == Exit.DONE


def test_an_objective_that_is_none_is_a_usage_error(say):
    assert say("examples", "--objective", "hybridatoin")[0] == Exit.USAGE


def test_blocks_are_listed_with_how_to_write_them(say):
    blocks = json.loads(say("blocks", "--json")[1])["blocks"]
    assert {"chiffre", "ressource", "temoignage", "evenement"} <= {one["name"] for one in blocks}
    assert all(one["help"] for one in blocks)


def test_a_worker_that_cannot_work_announces_nothing(say):
    code, _, err = say("worker")
    assert (code, len(err.splitlines())) == (Exit.USAGE, 1)
    assert "workers need PostgreSQL" in err


def test_figures_are_printed_for_prometheus(say):
    assert "# TYPE newsletter_subscribers gauge" in say("metrics")[1]


def test_feedback_of_nobody_we_know_asks_a_person_to_read_it(say, tmp_path):
    raw = b"From: zoe@example.org\r\nTo: lettre@example.org\r\nSubject: x\r\n\r\nBonjour\r\n"
    (tmp_path / "reply.eml").write_bytes(raw)
    first, *_, last = say("feedback", str(tmp_path / "reply.eml"))[1].splitlines()
    assert first == "1 message: 1 reply"
    assert "strange: of no reader we know; read it yourself" in last


def test_feedback_without_source_is_a_usage_error(say):
    assert say("feedback")[0] == Exit.USAGE


def test_the_list_is_one_document_with_json(say, issue):
    code, out, _ = say("subscribers", "export", "--json")
    people = json.loads(out)["people"]
    assert (code, len(people)) == (Exit.DONE, 2)
    assert {"email", "prenom", "base_legale", "statut"} <= set(people[0])


@pytest.mark.parametrize(
    "arguments", [("subscribers", "export", "--out"), ("check", "2041-05-07", "--sarif")]
)
def test_a_file_that_cannot_be_written_is_a_usage_error(say, tmp_path, arguments):
    say("new", "2041-05-07")
    code, _, err = say(*arguments, str(tmp_path / "nowhere" / "file"))
    assert (code, "nowhere" in err, "make room" in err) == (Exit.USAGE, True, True)


def test_sending_an_issue_that_is_not_written_says_so_whatever_the_day(say):
    for more in ((), ("--now",)):
        code, out, _ = say("send", "2041-05-09", *more, "--json")
        assert (code, json.loads(out)["error"]["code"]) == (Exit.DECIDE, "held")
        assert "newsletter new" in json.loads(out)["error"]["remedy"]


@pytest.mark.parametrize("port", ["0", "70000", "x"])
def test_a_port_that_is_none_is_a_usage_error(say, port):
    assert say("serve", "--port", port)[0] == Exit.USAGE


def test_a_port_that_is_taken_is_one_clear_error(say):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, out, _ = say("serve", "--port", str(taken.getsockname()[1]), "--json")
    assert (code, json.loads(out)["error"]["code"]) == (Exit.USAGE, "config")
