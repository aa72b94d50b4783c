"""One run of scripts/reproduce.py: several recipes in one graph of steps."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from tabulate import tabulate

from nat_plugin.errors import UserError
from scripts.lib.command_check import check_command
from scripts.lib.machine import visible_gpus
from scripts.lib.pages import block_names, replace_block
from scripts.lib.pictures import load_pyplot
from scripts.lib.recipes import RECIPES
from scripts.lib.reproduce.catalogue import load_recipe, load_systems, recipe_names
from scripts.lib.reproduce.collecting import collect
from scripts.lib.reproduce.planning import PlannedRecipe, Planner, shown_command
from scripts.lib.reproduce.recipe import Recipe
from scripts.lib.reproduce.report import Table, read_table, save_all
from scripts.lib.reproduce.scale import Scale, choose_scale
from scripts.lib.reproduce.scheduler import Scheduler
from scripts.lib.reproduce.steps import Graph, Step


class Job:
    """Plans recipes, and shows or does them.

    Args:
        options: of scripts/reproduce.py.
        command: as the user typed it.

    Raises:
        UserError: a recipe, row or data set cannot be used.
    """

    def __init__(self, options: argparse.Namespace, command: str) -> None:
        self.options, self.command = options, command
        self.graph = Graph()
        self.planned: dict[str, PlannedRecipe] = {}
        self.groups: dict[str, list[str]] = {}
        """A recipe of recipes → those that it includes."""
        self._tables: dict[str, Table] = {}
        unused = set(options.rows or ())
        for name in options.names:
            recipe = load_recipe(name)
            if recipe.includes:
                self.groups[name] = list(recipe.includes)
            for part in recipe.includes or (name,):
                self._plan(part, recipe if recipe.includes else None, unused)
        self._check_encoder()
        self._check_own_systems()
        self._blocks = block_names(options.docs) if options.docs else []
        if unused:
            there = ", ".join(key for name in options.names for key in _keys_of(load_recipe(name)))
            raise UserError(f"--rows names '{min(unused)}': choose some of {there}.")

    def _plan(self, name: str, group: Recipe | None, unused: set[str]) -> None:
        if name in self.planned:
            return
        options = self.options
        recipe, scale = self._read(name, group)
        if group and not recipe.latency:
            recipe = replace(recipe, latency=group.latency)
        rows = None
        if options.rows is not None and name not in options.rows:
            rows = [key for key in recipe.rows if key in options.rows or f"{name}/{key}" in options.rows]
            unused -= {*rows, *(f"{name}/{key}" for key in rows)}
            if not rows:
                return
        unused.discard(name)
        systems = load_systems(scale.kind)
        _check_own_words(recipe, scale)
        self.planned[name] = Planner(self.graph, systems, recipe, scale).plan(options.seeds, rows)

    def _check_encoder(self) -> None:
        """Refuse an encoder that nothing begins with: tables would say that students had."""
        giver = self.options.encoder_from
        words = [word for step in self.graph.steps.values() for word in step.command]
        begun = any(word.startswith("fairseq.load_encoder_from=") for word in words)
        if giver and not (begun and any(planned.scale.encoder_from for planned in self.planned.values())):
            raise UserError(
                f"--encoder-from {giver}: nothing that was asked for begins with that encoder; a student does if it is "
                "as wide and as deep, and no autoregressive one. Name another system, or drop the option."
            )

    def _check_own_systems(self) -> None:
        """Refuse words for a system that nothing here trains: they would do nothing."""
        trained = {name for planned in self.planned.values() for name in planned.trained}
        for name in self.options.own_settings:
            if name not in trained:
                raise UserError(
                    f"{name}:{self.options.own_settings[name][0]} has no effect: nothing that was asked for trains "
                    f"{name}. Trained are {', '.join(sorted(trained))}."
                )

    def _read(self, name: str, group: Recipe | None = None) -> tuple[Recipe, Scale]:
        """A recipe, and the scale that the user's choices mean for it; in a group all train their models alike."""
        options = self.options
        recipe = load_recipe(name)
        scale = choose_scale(
            replace(recipe, scales=group.scales) if group else recipe,
            data=options.data,
            direction=options.direction,
            size=options.size,
            budget=options.budget,
            runs=options.runs,
            output=options.output,
            settings=options.settings,
            own_settings=options.own_settings,
            encoder_from="" if recipe.begins_as_said else options.encoder_from,
            plots=not options.no_plot,
        )
        return load_recipe(name, scale.kind), scale

    def check(self) -> None:
        """Have every command read by its script, and every file looked at that is to be written to.

        Raises:
            UserError: one would be refused, or matplotlib is missing.
        """
        for step in self.graph.steps.values():
            # Of text that is prepared by hand we know the folder alone.
            if step.command[:2] != ("prepare.py", "--name"):
                check_command(step.command)
        if not self.options.dry_run:
            if not self.options.no_plot and any(planned.recipe.picture for planned in self.planned.values()):
                load_pyplot()
            for planned in self.planned.values():
                read_table(planned.scale.results / f"{planned.recipe.name}.json")
                _check_data(planned.scale)

    def show(self) -> None:
        """Print all commands in their order, and what is done already."""
        wanted = self.graph.closure(key for planned in self.planned.values() for key in planned.needs)
        left = 0
        for step in wanted.values():
            done = self.graph.done_at(step) is not None
            left += not done
            print(f"# {step.title}{' (done already)' if done else ''}")
            print(shown_command(step) + (" …" if step.command[:2] == ("prepare.py", "--name") else ""))
        print(f"# {len(wanted)} steps, {left} of them to be done; tables of {', '.join(self.planned)}")

    def run(self) -> None:
        """Do what is left, and write the tables.

        Raises:
            UserError: a step failed; tables are written of what there is.
        """
        self._scheduler = scheduler = Scheduler(
            self.graph,
            jobs=self.options.jobs,
            logs=self.options.runs / "logs",
            threads=self.options.threads,
            gpus=visible_gpus() if self.options.jobs > 1 else 0,
            on_done=self._report_finished,
        )
        self._left = {name: set(planned.needs) for name, planned in self.planned.items()}
        try:
            scheduler.work(self.graph.closure(key for planned in self.planned.values() for key in planned.needs))
        finally:
            for name in self.planned:
                if name not in self._tables:
                    self._report(name)
            self._report_groups()
        for name, table in self._tables.items():
            if not table.rows:
                print(f"\n{name}: nothing is measured yet")
                continue
            print(f"\n{table.recipe.source}: {table.recipe.shows}\n\n{table.table()}")
            for sentence in [*table.sentences(), *table.kept]:
                print(sentence)
            if table.gaps:
                print(f"\n{table.gap_table()}")
            print(f"{name}: {table.path}, .md and .tsv")
        scheduler.check()

    def _report_finished(self, step: Step) -> None:
        """Write the tables that were only waiting for this step: a kill loses none."""
        for name, left in self._left.items():
            if step.key in left:
                left.discard(step.key)
                if not left:
                    self._report(name)

    def _report(self, name: str) -> None:
        planned = self.planned[name]
        table = Table(
            planned.recipe,
            planned.scale,
            collect(planned, self.graph, self.command, self._scheduler.done),
            self.command,
        )
        self._tables[name] = table
        if table.rows:
            table.save(with_picture=not self.options.no_plot)
            of_these_data = f"{table.path.parent.name}/{name}"
            block = next((each for each in (of_these_data, name) if each in self._blocks), None)
            if block is not None:
                replace_block(self.options.docs, block, table.markdown(level=3) + self._shown_pictures(table))

    def _shown_pictures(self, table: Table) -> str:
        """For the page, whose links begin at its own folder."""
        links = (os.path.relpath(path, self.options.docs.parent) for path in table.pictures())
        return "".join(f"\n![{table.recipe.shows}]({link})\n" for link in links)

    def _report_groups(self) -> None:
        """A recipe of recipes has the tables of all, those of earlier runs too."""
        for group, parts in self.groups.items():
            whole = load_recipe(group)
            tables = [self._tables.get(name) or Table(*self._read(name, whole), [], self.command) for name in parts]
            there = [table for table in tables if table.rows]
            if there:
                save_all(group, there, self._read(group)[1].results / group)


def _check_own_words(recipe: Recipe, scale: Scale) -> None:
    """Refuse words for one system that a script of the recipe trains as well, by the words for all."""
    for script in recipe.scripts.values():
        for name in script.needs:
            if name != "teacher" and name in scale.own_settings:
                raise UserError(
                    f"{name}:{scale.own_settings[name][0]} does not reach scripts/{script.command[0]}, which trains "
                    f"{name}, too: give the words to all systems, or leave {recipe.name} out."
                )


def _keys_of(recipe: Recipe) -> list[str]:
    if recipe.includes:
        return [key for name in recipe.includes for key in (name, *(f"{name}/{row}" for row in load_recipe(name).rows))]
    return list(recipe.rows)


def _check_data(scale: Scale) -> None:
    """Refuse data that can neither be found nor be prepared."""
    if not (scale.raw.path / "prepare.json").is_file() and scale.raw.name not in RECIPES:
        raise UserError(
            f"there is no prepared data folder {scale.raw.path}: make it with scripts/prepare.py --name "
            f"{scale.raw.name} … (docs/data.md), or name other data with --data."
        )


def list_recipes() -> str:
    """All recipes, a line each."""
    recipes = [load_recipe(name) for name in recipe_names()]
    return str(tabulate([(each.name, each.source, each.shows) for each in recipes], ("recipe", "source", "shows")))
