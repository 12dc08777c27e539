# asyncio's Task and TaskQueue for the virtual clock
# The built-in ones stamp tasks with the host's time. Written to be fast: all waits pass here.
from micropython import const

_MASK = const((1 << 30) - 1)  # of ticks, see sim/time.py
_HALF = const(1 << 29)

clock = None  # its `now` and `boot`, in ms; the virtual clock puts itself here
_ctx = None  # globals of asyncio.core: cur_task, _task_queue, CancelledError
_known = None  # all tasks that may still run, if somebody counts them


def count():
    """How many tasks have not ended, of those made since the first call."""
    global _known
    if _known is None:
        _known = []
    _known[:] = [task for task in _known if task.state]
    return len(_known)


class TaskQueue:
    """Tasks ordered by due time (`ph_key`, ticks), first in first out among equals."""

    def __init__(self):
        self.tasks = []

    def peek(self):
        return self.tasks[0] if self.tasks else None

    def push(self, task, ticks=None):
        task.data = None
        if ticks is None:
            ticks = clock.now - clock.boot & _MASK
        task.ph_key = ticks
        tasks = self.tasks
        i = len(tasks)
        while i and (tasks[i - 1].ph_key - ticks - 1) & _MASK < _HALF:  # it is due later
            i -= 1
        tasks.insert(i, task)

    def pop(self):
        return self.tasks.pop(0)

    def remove(self, task):
        self.tasks.remove(task)


class Task:
    """A coroutine with its state: True running, a TaskQueue of waiters, None/False done."""

    def __init__(self, coro, context=None):
        global _ctx
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0
        if context is not None:
            _ctx = context
        if _known is not None:
            count()  # each time: those that have ended would hold memory of the board's
            _known.append(self)

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif not isinstance(self.state, TaskQueue):
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        current = _ctx["cur_task"]
        self.state.push(current)
        current.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        if self is _ctx["cur_task"]:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):
            task = task.data
        queue = _ctx["_task_queue"]
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            queue.push(task)
        elif (task.ph_key - (clock.now - clock.boot) - 1) & _MASK < _HALF:  # it sleeps
            queue.remove(task)
            queue.push(task)
        task.data = _ctx["CancelledError"]
        return True
