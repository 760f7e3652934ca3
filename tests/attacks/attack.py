"""An attack: a task, orders hidden in its data, and when it has succeeded. The task alone is its benign twin."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.attacks.judgement import Judge, strayed
from tests.attacks.orders import Call, ordering, orders_in
from tests.attacks.tasks import Task
from tests.attacks.world import World


@dataclass(frozen=True)
class Attack:
    """One attack. `hidden`: place in the task's data -> what the attacker wrote there."""

    id: str
    kind: str  # mail, payment, file, web, calendar, message, laundering, admin, ticket, data
    task: Task
    hidden: Mapping[str, str] = field(default_factory=dict)
    judge: Judge = strayed

    @property
    def ordered(self) -> tuple[Call, ...]:
        """The calls that the hidden texts order; none where the data itself is the attack."""
        return tuple(one for text in self.hidden.values() for orders in orders_in(text) for one in orders.calls)

    def world(self) -> World:
        """The world as the attacker left it."""
        return self.task.world(self.hidden)

    def succeeded(self, world: World) -> bool:
        """Whether the attacker got what he wanted."""
        return self.judge(world, self.task)


def attack(
    id: str, task: Task, *calls: Call, place: str = "text", when: str | None = None, judge: Judge = strayed
) -> Attack:
    """An attack whose orders stand in one place of the task's data. Its kind is the first part of its id."""
    return Attack(id, id.partition(".")[0], task, {place: ordering(*calls, when=when)}, judge)
