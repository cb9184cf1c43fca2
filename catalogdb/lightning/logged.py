"""At which step a trainer's metrics were logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Logged:
    """Tells what was logged at the trainer's step from what stayed from an earlier one.

    ``callback_metrics`` has every metric's latest value, and no step beside it: a checkpoint that is saved between two
    validations would get the older one's. A metric that is logged again is another object.
    """

    def __init__(self) -> None:
        self.has_more = False
        """Set where a validation or an epoch has ended: the next batch begins at the step of what was logged there."""
        self._steps: dict[str, tuple[object, int]] = {}

    def note(self, trainer: Any) -> None:
        """Remembers the step of what is new. No epoch is going to end here, so that nothing is reduced for it."""
        self.has_more = False
        for name, value in trainer.callback_metrics.items():
            if self._steps.get(name, (None, 0))[0] is not value:
                self._steps[name] = value, trainer.global_step

    def of_this_step(self, trainer: Any) -> Mapping[str, Any]:
        found = {}
        for name, value in trainer.callback_metrics.items():
            noted, step = self._steps.get(name, (None, None))
            if noted is not value or step == trainer.global_step:
                found[name] = value
        return found
