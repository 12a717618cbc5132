"""`sleep2vec`: the program."""

import os
import sys

import typer

from sleep2vec.cli import adapt, demo, evaluate, finetune, ingest, inspect, predict, pretrain, report, simulate
from sleep2vec.vocabulary.errors import Sleep2vecError

_INTERRUPTED = 130

app = typer.Typer(
    name="sleep2vec",
    help="A night of any sensors in; sleep stages, their certainty and an embedding out. "
    "`sleep2vec demo` tells the whole story on simulated nights.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, inspect, predict, ingest, pretrain, adapt, finetune, evaluate, report, simulate):
    app.command(command.NAME)(command.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sleep2vec {version('sleep2vec')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def run() -> None:
    """Entry point: exits 0 when it worked, 1 when it failed, 2 when the request was wrong, 130 after Ctrl-C."""
    try:
        app()
    except Sleep2vecError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(1)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as end:  # typer turns Ctrl-C into this
        if end.code == _INTERRUPTED:
            _stopped()
        raise


def _stopped() -> None:
    _complain("stopped; run the same command again to go on.")
    sys.exit(_INTERRUPTED)


def _complain(sentence: str) -> None:
    try:
        print(f"sleep2vec: {sentence}", file=sys.stderr)
    except BrokenPipeError:
        os._exit(1)
