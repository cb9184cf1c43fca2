"""``catalogdb tag``."""

from __future__ import annotations

from typing import Any

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import refs
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import visible, write_line
from catalogdb.errors import UsageError


class ChangesCommand(Command):
    """A command whose arguments may begin with a dash: ``-b`` takes something off.

    Only the global options that stand alone are options here: ``-v``, ``-vv``, ``-q``, and all that begin with two
    dashes. Without this, click would read ``-vetted`` as ``-v`` and more.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options: list[str] = []
        words: list[str] = []
        valued = {name for param in self.params if _takes_value(param) for name in param.opts}
        rest = iter(args)
        for word in rest:
            if word == "--":
                words += rest
            elif word in valued:
                value = next(rest, None)
                if value is None:
                    return super().parse_args(ctx, [word])  # which says that its value is missing
                options += [word, value]
            elif word.startswith("--") or word in {"-v", "-vv", "-q"}:
                options.append(word)
            else:
                words.append(word)
        return super().parse_args(ctx, [*options, "--", *words])


def _takes_value(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and not param.is_flag and not param.count


@click.command(cls=ChangesCommand, name="tag", short_help="Put tags on a checkpoint, or take them off.")
@click.argument("ref", metavar="REF", shell_complete=refs)
@click.argument("changes", metavar="[+TAG|+TAG=VALUE|-TAG]...", nargs=-1)
@pass_globals
def command(given: Globals, ref: str, changes: tuple[str, ...]) -> None:
    """Put tags on a checkpoint with +TAG or +TAG=VALUE, take them off with -TAG; then print those that it has.

    REF is a path, an id, or @ALIAS. Tags stay with the checkpoint when its file moves, when it is trained on and when
    it is gone. Filters ask for them: "'good' IN tags", "tags.stage = 'prod'". A pin is the tag +pinned: whatever
    tidies up leaves such a checkpoint alone. A tag called v or q is taken off after a double dash: -- -v.

    \b
    Examples:
      catalogdb tag outputs/run_042/checkpoints/model.ckpt +good +stage=prod -bad
      catalogdb tag "$(catalogdb best -m val/hmean)" +pinned
    """
    for change in changes:
        if not change.startswith(("+", "-")):
            raise UsageError(f"{change}: write +{change} to put the tag on, -{change} to take it off")
    with open_existing(given.settings()) as catalog:
        row = catalog.tag(ref, *changes) if changes else catalog.get(ref)
    for line in tag_lines(row.tags):
        write_line(line)


def tag_lines(tags: Any) -> list[str]:
    """``good``, ``stage=prod``: a tag in each line, as it is put on."""
    return [visible(key if value is None else f"{key}={value}") for key, value in sorted(tags.items())]
