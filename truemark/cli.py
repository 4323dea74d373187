"""The command line: a table `verb -> where it lives`, read lazily. Each room owns its verbs in its own `cli.py`.

truemark --help            imports every room's cli.py (they are light), no torch
truemark train math        imports train/cli.py alone
run(["train", "math"])     the same from Python: `quickstart` is a list of such calls
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from truemark import __version__
from truemark.errors import TruemarkError, UnknownName

VERBS = {
    "quickstart": "truemark.quickstart:quickstart",
    "models": "truemark.models_cli:app",
    "data": "domains.cli:app",
    "train": "train.cli:train",
    "export": "exports.cli:export",
    "verify": "exports.cli:verify",
    "eval": "evalsuite.cli:evaluate",
    "score": "evalsuite.cli:score",
    "leaderboard": "evalsuite.cli:leaderboard",
    "votes": "evalsuite.votes_cli:votes",
    "serve": "serve.cli:serve",
    "keys": "serve.keys_cli:app",
    "ask": "serve.cli:ask",
    "demo": "demos.cli:demo",
    "doctor": "truemark.doctor:doctor",
}
INTERRUPTED = 130


def main() -> None:
    """The console script: runs `sys.argv`, shows a user's mistake as one line, and exits."""
    argv = sys.argv[1:]
    debug = "--debug" in argv
    try:
        sys.exit(run([word for word in argv if word != "--debug"]))
    except TruemarkError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        if debug:
            raise
        print("\ninterrupted: nothing half-written was published; the same command continues", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def run(argv: Sequence[str]) -> int:
    """Run one command line in this process. Returns its exit code; raises TruemarkError for a user's mistake."""
    verb = next((word for word in argv if not word.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        raise UnknownName("command", verb, VERBS, mend="truemark --help")
    command = typer.main.get_command(_app([verb] if verb else list(VERBS)))
    try:
        result = command.main(list(argv) or ["--help"], prog_name="truemark", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:  # usage: unknown option, missing argument, bad value
        _refuse_usage(error)
    if result == INTERRUPTED:  # typer turns Ctrl-C into an exit code
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _refuse_usage(error: Exception) -> None:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "truemark"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    raise TruemarkError(message, mend=f"{path} --help") from None


def _app(verbs: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None:
        """Take a LoRA adapter from data to a user's screen, and prove at each step that it is still that adapter.

        --debug anywhere shows the traceback of an error.
        """

    for verb in verbs:
        target = _load(VERBS[verb])
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=verb)
        else:
            app.command(verb)(target)
    return app


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"truemark {__version__}")
        raise typer.Exit
