"""Every command in the documentation is one that its program takes: scripts, fairseq's binaries, make and pip."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import nat_plugin
from scripts.lib.command_check import check_command
from tests.documented import PAGES, ROOT, Command, commands

COMMANDS = [command for page in PAGES for command in commands(page)]
FAIRSEQ = ["DATA", "--user-dir", "nat_plugin", "--task", "nat_translation"]


def fairseq_parser(program: str) -> Any:
    """A new one each time: parsing adds the options of what the command names."""
    nat_plugin.register()
    from fairseq import options

    makers = {
        "train": options.get_training_parser,
        "generate": options.get_generation_parser,
        "interactive": options.get_interactive_generation_parser,
    }
    return makers[program.removeprefix("fairseq-")](default_task="nat_translation")


def take_fairseq(command: Command) -> None:
    """fairseq's own parser, with the options of the model and the criterion that are named."""
    from fairseq import options

    program, *words = command.words
    parser = fairseq_parser(program)
    if "--user-dir" not in words:  # the page has said the rest before
        path = ["--path", "CHECKPOINT.pt"] if program == "fairseq-generate" and "--path" not in words else []
        words = [*FAIRSEQ, *path, *words]
    options.parse_args_and_arch(parser, words)


def take_hydra(command: Command) -> None:
    """Hydra's own parser, and the composed file; of a sweep the first job. Launchers are other packages'."""
    nat_plugin.register()
    from fairseq.dataclass.initialize import hydra_init
    from hydra import compose, initialize_config_dir
    from hydra._internal.utils import get_args_parser

    options = get_args_parser().parse_args(command.words[1:])
    overrides = [word.partition(",")[0] for word in options.overrides if not word.startswith("hydra")]
    hydra_init("config")
    with initialize_config_dir(str(ROOT / options.config_dir), version_base="1.1"):
        compose(options.config_name, overrides)


def take_script(command: Command) -> None:
    """The script's own parser; Hydra for train.py, whose data may be a folder that is not there; recipes by name."""
    program, *words = command.words
    if program.endswith(".sh"):  # a recipe, or one that takes nothing
        if program.startswith("scripts/recipes/"):
            program, words = "scripts/reproduce.py", [Path(program).stem, *words]
        else:
            assert not words
            return
    if program.startswith("scripts/"):
        words = [re.sub("^data=(mine|DATA)$", "data=generated", word) for word in words]
        check_command([program.removeprefix("scripts/"), *words])
        return
    module = importlib.import_module(program.removesuffix(".py").replace("/", "."))
    module.parse_arguments(words)


def take_make(command: Command) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert command.words[1] in targets


def take_pip(command: Command) -> None:
    extras = re.findall(r"\.\[([a-z,]+)\]", " ".join(command.words))
    declared = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{extra}": [' in declared for listed in extras for extra in listed.split(","))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_command_is_understood(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = command.words[0]
    if program.startswith(("scripts/", "benchmarks/")):
        assert (ROOT / program).is_file()
        take = take_script
    else:
        others = {"make": take_make, "pip": take_pip, "fairseq-hydra-train": take_hydra}
        take = others.get(program, take_fairseq)
    try:
        take(command)
    except SystemExit as error:  # argparse has said why
        pytest.fail(f"{command} is refused: {error}")


def test_there_are_commands_of_every_kind() -> None:
    programs = {command.words[0] for command in COMMANDS}
    assert {"fairseq-train", "fairseq-generate", "make", "pip", "scripts/train.py", "scripts/prepare.py"} <= programs
    assert len(COMMANDS) > 100


def test_every_script_is_documented() -> None:
    scripts = {
        str(path.relative_to(ROOT))
        for folder in ("scripts", "scripts/recipes", "benchmarks")
        for path in (ROOT / folder).glob("*.py")
        if path.read_bytes().startswith(b"#!")
    }
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    missing = [script for script in scripts if script not in text and script not in makefile]
    assert not missing
