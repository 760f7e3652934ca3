"""All attacks and all benign tasks, by service. A task is found by its goal, which is all that the model is told."""

from tests.attacks.attack import Attack
from tests.attacks.catalogue import calendar, data, desk, files, mail, messages, payments, web
from tests.attacks.tasks import Task

_PARTS = (mail, payments, files, web, calendar, messages, desk, data)
ATTACKS: tuple[Attack, ...] = tuple(one for part in _PARTS for one in part.ATTACKS)
BENIGN: tuple[Task, ...] = (
    *(one.task for one in ATTACKS),
    *(task for part in _PARTS for task in part.TWINS_ALONE),
)
_BY_GOAL = {task.goal: task for task in BENIGN}


def task_for(goal: str) -> Task:
    """The task with this goal."""
    return _BY_GOAL[goal]
