"""Workers that are processes: copies of this one, made when the work is planned and gone when it is done.

Threads of one interpreter take turns at it: NumPy lets go of it in every pass over a tile, and getting it back costs
more than a pass over a tile that lies in a processor's cache. Copies need not wait. They share open files, and a deck
of numbered cards, from which each draws the next units of work.

Only a process that is nobody else's may be copied (the command line's), and only on Linux: elsewhere a copy cannot use
all that its original has loaded. A copy ends with the process that it was made of: `abandon` sees to that when a signal
ends it, and each copy looks for itself before it draws.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from threshcli.errors import DeviceError
from threshcli.kernels.base import Kernels
from threshcli.storage._temporary import disown

Unit = TypeVar("Unit")

_CARD = array("I").itemsize
_CARDS = 4096 // _CARD
"""As many as the smallest pipe has room for."""
_ALIVE: set[int] = set()
_SPARE = 16
"""Numbers of files that answers of copies leave to the work."""
_PATIENCE = 0.5  # seconds


def possible() -> bool:
    """Whether processes can be copied on this system."""
    return sys.platform == "linux"


class Part(NamedTuple, Generic[Unit]):
    """What is to be done: the units of work in order, how to do one, and what a copy tells at its end of all that it
    did. This process tells `passed` of each unit that another one has drawn."""

    units: Callable[[], Iterator[Unit]]
    work: Callable[[Unit, Kernels], None]
    found: Callable[[], Any]
    passed: Callable[[Unit], None]


def work_together(part: Part[Unit], kernels: list[Kernels]) -> list[Any]:
    """Work with one process for each set of kernels, this one included; returns what the copies found. The first
    error stops everyone and is raised."""
    try:
        deck = _Deck(sum(1 for _ in part.units()))
    except OSError:  # no more files may be open
        return _work_alone(part, kernels[0])
    copies: list[tuple[int, int]] = []
    try:
        for own in kernels[1:]:
            copies += _copy(part, deck, own)
        _play(part, deck, kernels[0], part.passed)
    except BaseException:
        deck.end()
        raise
    finally:
        answers = [_answer(*copy) for copy in copies]
        deck.close()
    for _, error in answers:
        if error is not None:
            raise error
    return [found for found, _ in answers]


def _work_alone(part: Part[Unit], kernels: Kernels) -> list[Any]:
    """The same without copies."""
    with kernels.session():
        for unit in part.units():
            part.work(unit, kernels)
    return []


class _Deck:
    """Cards that stand for some units of work each, in a pipe, from which each is drawn by one process only."""

    def __init__(self, units: int) -> None:
        self._owner = os.getpid()
        self.worth = max(1, -(-units // _CARDS))
        self._read, write = os.pipe()
        os.write(write, array("I", range(-(-units // self.worth))))
        os.close(write)

    def draw(self) -> int | None:
        """The number of the next card, or None where there is none."""
        card = os.read(self._read, _CARD)
        return array("I", card)[0] if card else None

    def draw_as_copy(self) -> int | None:
        """The same, for a copy: when the process that it was made of has gone, nobody waits for its work."""
        return self.draw() if os.getppid() == self._owner else None

    def end(self) -> None:
        """Nobody draws any more."""
        while os.read(self._read, _CARD * _CARDS):
            pass

    def close(self) -> None:
        os.close(self._read)


def _play(part: Part[Unit], deck: _Deck, kernels: Kernels, passed: Callable[[Unit], None] | None) -> None:
    """Draw cards, and do what they stand for, until there are none."""
    units, place = part.units(), 0
    draw = deck.draw if passed else deck.draw_as_copy
    with kernels.session():
        while (card := draw()) is not None:
            for unit in islice(units, card * deck.worth - place):
                if passed:
                    passed(unit)
            for unit in islice(units, deck.worth):
                part.work(unit, kernels)
            place = (card + 1) * deck.worth
    if passed:
        for unit in units:
            passed(unit)


def _copy(part: Part[Unit], deck: _Deck, kernels: Kernels) -> list[tuple[int, int]]:
    """A copy at work: its number, and where its answer is to be read; none if the system allows no more of them."""
    try:
        ours, theirs = os.pipe()
    except OSError:
        return []
    try:
        process = os.fork() if _leaves_room(theirs) else -1
    except OSError:
        process = -1
    if process < 0:
        os.close(ours)
        os.close(theirs)
        return []
    if not process:
        _ALIVE.clear()  # they are not this copy's
        disown()
        os.close(ours)  # or it would wait for itself to read, when the process that it was made of is gone
        _live(part, deck, kernels, theirs)
    _ALIVE.add(process)
    os.close(theirs)
    return [(process, ours)]


def _leaves_room(newest: int) -> bool:
    """Whether files can still be opened, beside the one with the newest number (`ulimit -n`)."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return allowed == resource.RLIM_INFINITY or newest < allowed - _SPARE


def _live(part: Part[Unit], deck: _Deck, kernels: Kernels, answer: int) -> None:
    """The whole life of a copy."""
    try:
        try:
            _play(part, deck, kernels, None)
            told = pickle.dumps((part.found(), None))
        except BaseException as error:  # whatever it is: it is raised again where people see it
            deck.end()
            told = _pickled(error)
        with open(answer, "wb") as pipe:
            pipe.write(told)
    finally:
        os._exit(0)


def _pickled(error: BaseException) -> bytes:
    """An error as an answer; one that cannot be sent as what it says."""
    try:
        told = pickle.dumps((None, error))
        pickle.loads(told)
    except Exception:
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return told


def _answer(process: int, pipe: int) -> tuple[Any, BaseException | None]:
    """What a copy found, or the error that stopped it, once it has ended."""
    with open(pipe, "rb") as answer:
        told = answer.read()
    os.waitpid(process, 0)
    _ALIVE.discard(process)
    if not told:
        return None, DeviceError("a worker was ended from outside", hint="use fewer --jobs or less --max-memory")
    found: tuple[Any, BaseException | None] = pickle.loads(told)
    return found


def abandon() -> None:
    """End all copies; safe in a signal handler. They are told to, and remove what they have not finished; those that
    have not done so in half a second are killed."""
    left = list(_ALIVE)
    for process in left:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE
    while left and time.monotonic() < until:
        left = [process for process in left if not _ended(process)]
        time.sleep(0.002 if left else 0)
    for process in left:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _ended(process: int) -> bool:
    try:
        return os.waitpid(process, os.WNOHANG)[0] != 0
    except ChildProcessError:  # somebody else has waited for it
        return True
