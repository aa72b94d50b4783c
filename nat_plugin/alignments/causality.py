"""What causal AXE bars."""

from __future__ import annotations

from enum import IntEnum


class Causality(IntEnum):
    """What a slot j may not do with a target i < j."""

    NONE = 0
    """Nothing is barred: AXE."""
    ALIGN = 1
    """Align with it."""
    TARGETS = 2
    """Align with it, or take it as a skipped target."""

    @classmethod
    def of(cls, causal: bool, bar_skip_target: bool) -> Causality:
        """Of the arguments of :func:`nat_plugin.alignments.axe_alignment`.

        Raises:
            ValueError: a skipped target is to be barred where nothing is.
        """
        if bar_skip_target and not causal:
            raise ValueError("bar_skip_target is a restriction of causal AXE: give causal=True")
        return (cls.TARGETS if bar_skip_target else cls.ALIGN) if causal else cls.NONE
