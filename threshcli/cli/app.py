"""The typer application: one command a rule, made from the rule's own class, and the commands that only look."""

from __future__ import annotations

import importlib
import os
from typing import Annotated, Any

import typer

from threshcli import __version__, rules
from threshcli.cli.command import rule_command
from threshcli.cli.outside import Outside
from threshcli.errors import InputError, InternalError, ThreshError, UsageError, out_of_memory

HELP = """Apply thresholds to tensor files (.npy, .safetensors, .pt).

    thresh RULE -t THRESHOLD FILE... -o OUT

The rule says what happens to each element, the threshold where the value to compare with comes from. Every rule
works with every threshold, format, dtype and device. Inputs are never changed unless --in-place is given.
"""
LOOKING = ("info", "solve", "stats", "sweep", "hist", "check", "diff")
"""The commands that only look: a module here each, whose `command` makes the function behind it."""
SEVERAL = ("run",)
"""Those that apply rules and are none; modules likewise."""
WRITING = ("unpack",)
"""Those that write without a rule; modules likewise."""
_VERSION = ("--version", "-V")
_CONTEXT = {"help_option_names": ["-h", "--help"]}


def _version(value: bool) -> None:
    if value:
        typer.echo(f"thresh {__version__}")
        raise typer.Exit


def _thresholds() -> str:
    """What can stand behind -t, in a few lines."""
    from threshcli import thresholds

    forms = (f"{source.form} ({source.meaning})" for source in thresholds.registered())
    return f"Thresholds: {'; '.join(forms)}."


def build(outside: Outside, only: str | None = None) -> typer.Typer:
    """The application, bound to the streams and environment it is to use; with `only` that command alone, which spares
    a call the making of all others."""
    app = typer.Typer(
        name="thresh",
        help=HELP,
        add_completion=True,
        context_settings=_CONTEXT,
        rich_markup_mode=None,
        epilog=_thresholds() if only is None else None,
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option(*_VERSION, help="Show the version and exit.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    root.__doc__ = None
    for name in rules.names():
        if only in (None, name):
            rule = rules.find(name)
            function = rule_command(name, rule, outside)
            app.command(name, help=rule.__doc__, rich_help_panel="Rules", context_settings=_CONTEXT)(function)
    for panel, others in (("Rules", SEVERAL), ("Look", LOOKING), ("Write", WRITING)):
        for name in others:
            if only in (None, name):
                function = importlib.import_module(f"threshcli.cli.{name}").command(outside)
                app.command(name, rich_help_panel=panel, context_settings=_CONTEXT)(function)
    return app


def run(arguments: list[str], outside: Outside | None = None) -> int:
    """Run a command line; returns the exit status. Errors become one line and a hint on standard error."""
    outside = outside or Outside.process()
    debug = "--debug" in arguments
    if not arguments:  # help is what is missing, yet nothing was done
        return run(["--help"], outside) or UsageError.exit_code
    try:
        known = {*rules.names(), *SEVERAL, *LOOKING, *WRITING, *_VERSION}
        only = arguments[0] if arguments and arguments[0] in known else None
        result: Any = build(outside, only)(arguments, standalone_mode=False, prog_name="thresh")
    except ThreshError as error:
        return outside.complain(error, debug)
    except KeyboardInterrupt:
        raise
    except (MemoryError, OSError) as error:
        lacking = _lacking(error)
        if lacking is None:  # standard output that fails: `_run` in threshcli.cli tells of it
            raise
        return outside.complain(lacking.with_traceback(error.__traceback__), debug)
    except SystemExit as ending:  # what typer makes of a closed pipe
        if isinstance(ending.__context__, BrokenPipeError):
            raise ending.__context__ from None
        raise
    except typer.Exit as ending:
        return int(ending.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer's, which offers no public class for it
            return _usage(error, outside, debug)
        fault = InternalError(f"{type(error).__name__}: {error}", hint="this is a fault of thresh; --debug shows where")
        return outside.complain(fault.with_traceback(error.__traceback__), debug)
    return result if isinstance(result, int) else 0


def _lacking(error: MemoryError | OSError) -> ThreshError | None:
    """What the system refuses outside of the work on one file, which it would cost that file alone; None where it does
    not say of what."""
    if isinstance(error, MemoryError):
        return out_of_memory()
    if error.filename is not None:
        return InputError(f"cannot be used: {error.strerror}", file=os.fsdecode(error.filename))
    if isinstance(error, FileNotFoundError):  # of what a relative path begins with
        return InputError("the current folder is not there any more", hint="change to one that is")
    return None


def _usage(error: Any, outside: Outside, debug: bool) -> int:
    """A usage error in our own form: one line, and where help is."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", None) or "thresh"
    message = " ".join(str(error.format_message()).split())
    message = message[0].lower() + message[1:].rstrip(".")
    return outside.complain(UsageError(message, hint=f"see: {path} --help"), debug)
