"""Which action may start now. Pure: no I/O, no clock.

All mutable state of a transfer's order is here. `add`, `sends` and `done` change it, `take` gives the next action or
None if none may start yet.

Small objects wait for the service, large ones for the line and the processor. So they have queues of their own: many
small ones are under way at once, and neither kind waits behind the other. Within a queue the order is that of the plan.

The first upload into a deltaspace may have to create its reference, and the others need it. So it leads: others
of the deltaspace are parked until it sends, with its reference at hand, or is done; then all go. If it failed before
that, the next one leads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from deltaglider_async.bulk.actions import Action
from deltaglider_async.format.candidates import DEFAULT_POLICY, DeltaPolicy

#: Deltaspaces remembered as led. Forgetting one costs only that its next upload leads again.
_REMEMBERED = 1024
#: From here on, in bytes, an object is large: sending it takes longer than waiting for the answer.
_LARGE = 1024 * 1024
#: So many large objects may be under way however large they are: one alone does not fill processor and line.
_WHATEVER_SIZE = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be under way at once."""

    objects: int = 32
    large_objects: int = 10
    """Of 1 MiB and more, or of unknown size; each may take an xdelta3 process."""
    bytes_in_flight: int = 1024**3
    """Sum of the originals' sizes of large objects. What is in memory is far less; this bounds temporary files."""
    bytes_per_second: float | None = None
    """Of all that is sent and received, on average."""

    @classmethod
    def of(cls, concurrency: int | None, bytes_per_second: float | None = None) -> Limits:
        """Exactly so many objects, of whatever size; None: as by default."""
        if concurrency is None:
            return cls(bytes_per_second=bytes_per_second)
        return cls(concurrency, concurrency, bytes_per_second=bytes_per_second)


class Schedule:
    """The order of a transfer within `limits`. By `policy` the client decides what becomes a delta."""

    def __init__(self, limits: Limits, policy: DeltaPolicy = DEFAULT_POLICY) -> None:
        self._limits = limits
        self._policy = policy
        self._small: deque[tuple[int, Action]] = deque()
        self._large: deque[tuple[int, Action]] = deque()
        self._parked: dict[str, deque[tuple[int, Action]]] = {}
        self._led: dict[str, None] = {}
        self._added = 0
        self._active = self._active_large = self._active_bytes = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing waits."""
        return not (self._active or self._small or self._large)

    def add(self, action: Action) -> None:
        """An action that may start when its turn comes."""
        self._added += 1
        item = self._added, action
        space = action.lead(self._policy)
        if space is None or space in self._led:
            self._queue(action).append(item)
        elif space in self._parked:
            self._parked[space].append(item)
        else:
            self._parked[space] = deque()
            self._queue(action).append(item)

    def take(self) -> Action | None:
        """The next action, now under way; None if there is none or no room."""
        if self._active >= self._limits.objects:
            return None
        ready = [queue for queue in (self._small, self._large) if queue and (queue is self._small or self._room())]
        if not ready:
            return None
        _, action = min(ready, key=lambda queue: queue[0][0]).popleft()
        self._count(action, 1)
        return action

    def done(self, action: Action, *, succeeded: bool) -> None:
        """An action that was taken has ended."""
        self._count(action, -1)
        space = action.lead(self._policy)
        if succeeded:
            self.sends(action)
        elif space is not None and (parked := self._parked.get(space)) is not None:
            if parked:
                item = parked.popleft()
                self._queue(item[1]).appendleft(item)
            else:
                del self._parked[space]

    def sends(self, action: Action) -> None:
        """An action that was taken has made what it sends: those that are parked behind it may start."""
        space = action.lead(self._policy)
        if space is None or space not in self._parked:
            return
        self._led[space] = None
        if len(self._led) > _REMEMBERED:
            del self._led[next(iter(self._led))]
        for item in reversed(self._parked.pop(space)):
            self._queue(item[1]).appendleft(item)

    def _queue(self, action: Action) -> deque[tuple[int, Action]]:
        return self._large if _is_large(action) else self._small

    def _room(self) -> bool:
        """Whether the next large object may start."""
        if self._active_large >= self._limits.large_objects:
            return False
        size = self._large[0][1].size or 0
        return self._active_large < _WHATEVER_SIZE or self._active_bytes + size <= self._limits.bytes_in_flight

    def _count(self, action: Action, change: int) -> None:
        self._active += change
        if _is_large(action):
            self._active_large += change
            self._active_bytes += change * (action.size or 0)


def _is_large(action: Action) -> bool:
    return action.size is None or action.size >= _LARGE
