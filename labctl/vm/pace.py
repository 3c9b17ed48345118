"""How much slower this lab is than one guest under KVM on an idle processor: one factor.

Every time-out of VM mode, ours and the cluster's, is a KVM value made longer by this factor. Here it is
chosen, and the cluster's time-outs and load-threshold follow from it; labctl's own waits multiply by it
where they wait (Engine.pace). It is the trial guest's time against the reference's, times the guests per
processor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labctl.vm.accel import Acceleration

# What the trial's guest takes under KVM on a laptop's core (see trial.Trial). Emulated on a server's core it
# takes 2.8 to 3.8; a lab of four such nodes and their target on two cores needs time-outs ten times as
# long, and that is what this value makes of it.
REFERENCE_BOOT_SECONDS = 0.7
# Beyond this a lab is not slow but broken, and waiting longer helps nobody.
FACTOR_MAX = 20.0

# corosync.conf(5): token is 3000 ms; token_coefficient adds 650 ms for every node beyond the second to it,
# and to any other value that is given.
TOKEN_DEFAULT_MS = 3000
TOKEN_PER_FACTOR_MS = 1000
TOKEN_MAX_MS = 30_000
# Pacemaker's stonith-timeout is 60 s. The power itself is cut by the host at its own speed; only
# the fence agent's part in a guest grows: its Python, its commands, one after the other.
STONITH_SECONDS = 60
STONITH_PER_FACTOR = 15
STONITH_MAX = 600
OPERATION_MAX = 900
# Pacemaker's load-threshold is 80%, pacemaker-controld(7). With it a node of one processor is "high" from a
# load average of 0.96 on, and while any node is, the whole cluster runs half as many actions at once as it
# has nodes (controld_throttle.c).
LOAD_PERCENT = 80


@dataclass(frozen=True)
class Pace:
    """factor: at least 1.0, which is a guest under KVM on an idle processor."""

    factor: float = 1.0

    def operation_seconds(self, base: float) -> int:
        """A cluster operation's time-out in seconds, in tens when longer than base, its value under KVM."""
        return _longer(base, base * self.factor, OPERATION_MAX)

    @property
    def stonith_seconds(self) -> int:
        """Pacemaker's stonith-timeout: its default 60 at factor 1."""
        grown = STONITH_SECONDS + STONITH_PER_FACTOR * (self.factor - 1)
        return _longer(STONITH_SECONDS, grown, STONITH_MAX)

    @property
    def load_threshold(self) -> str:
        """Pacemaker's load-threshold, a percentage: its default 80% at factor 1.

        The load average of an emulated node is above that with any work, so it tells of no overload.
        """
        return f"{round(LOAD_PERCENT * self.factor)}%"

    @property
    def token_ms(self) -> int | None:
        """corosync's totem token; None where its default does."""
        wanted = TOKEN_PER_FACTOR_MS * self.factor
        if wanted <= TOKEN_DEFAULT_MS:
            return None
        return min(TOKEN_MAX_MS, math.ceil(wanted / 500) * 500)


def pace(acceleration: Acceleration, guests: int, processors: int) -> Pace:
    """The pace of a lab of so many guests on so many processors."""
    slowness = max(1.0, acceleration.boot_seconds / REFERENCE_BOOT_SECONDS)
    crowd = max(1.0, guests / max(1, processors))
    return Pace(round(min(FACTOR_MAX, slowness * crowd), 1))


def _longer(base: float, grown: float, most: float) -> int:
    """Rounded up to tens, never more than most, never less than base."""
    if grown <= base:
        return math.ceil(base)
    return math.ceil(max(base, min(most, math.ceil(grown / 10) * 10)))
