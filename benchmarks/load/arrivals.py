"""An arrival rate -> the moments at which requests are due; knows nothing of requests or clocks.

Open loop: requests are due when the plan says, whether earlier ones are answered or not, as those
of many independent clients are. A closed loop would wait with its next request until a slow server
has answered, and so never see the queue that the slowness made.
"""

import random

SEED = 20_26


def steady(rate: float, seconds: float, seed: int = SEED) -> list[float]:
    """Return the seconds at which requests of a Poisson process are due, in order.

    The number of arrivals is exactly `rate * seconds`; given their number, the arrivals of a
    Poisson process are uniform. Every subject is offered the same moments.

    >>> [round(due, 2) for due in steady(rate=2, seconds=2)]
    [0.24, 1.01, 1.02, 1.72]
    """
    chance = random.Random(seed)  # noqa: S311 - the same arrivals every time
    return sorted(chance.uniform(0, seconds) for _ in range(round(rate * seconds)))


def bursts(size: int, every_s: float, count: int) -> list[float]:
    """Return the seconds at which `count` bursts of `size` requests at once are due.

    >>> bursts(size=2, every_s=1.5, count=2)
    [0.0, 0.0, 1.5, 1.5]
    """
    return [number * every_s for number in range(count) for _ in range(size)]
