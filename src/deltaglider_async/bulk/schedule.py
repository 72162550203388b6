"""Which action may start now. Pure: no I/O, no clock.

All mutable state of a transfer's order is here. `add` and `done` change it, `take` gives the next action or None if
none may start yet.

The first upload into a deltaspace may have to create its reference, and the others need it. So it leads: others
of the deltaspace are parked until it is done, then all go. If it failed, the next one leads.
"""

from __future__ import annotations

from collections import deque

from deltaglider_async.bulk.actions import Action

#: Deltaspaces remembered as led. Forgetting one costs only that its next upload leads again.
_REMEMBERED = 1024


class Schedule:
    """At most `concurrency` actions at once, of at most `bytes_in_flight` in sum; a larger one goes alone."""

    def __init__(self, concurrency: int, bytes_in_flight: int) -> None:
        self._concurrency = concurrency
        self._bytes_in_flight = bytes_in_flight
        self._ready: deque[Action] = deque()
        self._parked: dict[str, deque[Action]] = {}
        self._led: dict[str, None] = {}
        self._active = 0
        self._active_bytes = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing waits."""
        return not self._active and not self._ready

    def add(self, action: Action) -> None:
        """An action that may start when its turn comes."""
        if action.lead is None or action.lead in self._led:
            self._ready.append(action)
        elif action.lead in self._parked:
            self._parked[action.lead].append(action)
        else:
            self._parked[action.lead] = deque()
            self._ready.append(action)

    def take(self) -> Action | None:
        """The next action, now under way; None if there is none or no room."""
        if not self._ready or self._active >= self._concurrency:
            return None
        size = self._ready[0].size or 0
        if self._active and self._active_bytes + size > self._bytes_in_flight:
            return None
        self._active += 1
        self._active_bytes += size
        return self._ready.popleft()

    def done(self, action: Action, *, succeeded: bool) -> None:
        """An action that was taken has ended."""
        self._active -= 1
        self._active_bytes -= action.size or 0
        space = action.lead
        if space is None or space not in self._parked:
            return
        parked = self._parked[space]
        if parked and not succeeded:
            self._ready.appendleft(parked.popleft())
            return
        del self._parked[space]
        if succeeded:
            self._led[space] = None
            if len(self._led) > _REMEMBERED:
                del self._led[next(iter(self._led))]
        self._ready.extendleft(reversed(parked))
