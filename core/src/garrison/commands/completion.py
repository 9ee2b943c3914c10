"""`garrison completion`: the script that a shell sources to complete garrison's words."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL; e.g. eval "$(garrison completion bash)"."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(
        made(
            click.get_current_context().find_root().command, {}, "garrison", "_GARRISON_COMPLETE"
        ).source()
    )
