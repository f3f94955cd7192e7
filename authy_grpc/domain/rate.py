"""Rate limit in memory, by name, of one process: for calls that leave nothing in the store to count."""

from collections import OrderedDict
from datetime import datetime

from authy_grpc.domain.limits import Rule, spend

_NAMES = 10_000


class Rate:
    """Counts what each name spends. Past 10,000 names, those that spent longest ago are forgotten."""

    def __init__(self) -> None:
        self._spent: OrderedDict[str, tuple[datetime, ...]] = OrderedDict()

    def spend(self, name: str, now: datetime, rule: Rule) -> None:
        """Spend one of a name's budget.

        Raises:
            RateLimited: the rule forbids it until `retry_after` has passed.
        """
        # A clock that was set back must not shut anybody out.
        times = [time for time in self._spent.get(name, ()) if time <= now]
        self._spent[name] = spend(times, now, (rule,))
        self._spent.move_to_end(name)
        if len(self._spent) > _NAMES:
            self._spent.popitem(last=False)
