import pytest

from hf_canon.cli import COMMANDS


@pytest.mark.parametrize("command", [command.NAME for command in COMMANDS])
def test_help_teaches_by_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"\n  hf-canon {command}" in out.partition("examples:\n")[2]
    assert max(map(len, out.splitlines())) <= 119


def test_the_commands_are_listed_with_a_line_each(run):
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert command.SUMMARY in " ".join(out.split())


@pytest.mark.parametrize("words", [[], ["fly"], ["train"], ["info", "--loud"]])
def test_wrong_usage_ends_with_2_and_the_usage(run, words):
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith("usage: hf-canon")


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_valid_commands(command):
    from hf_canon.cli import build_parser

    lines = [line.strip().partition(" > ")[0] for line in command.EXAMPLES.splitlines() if "hf-canon" in line]
    assert lines
    for line in lines:
        assert build_parser().parse_args(line.split()[1:]).command == command.NAME
