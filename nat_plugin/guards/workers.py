"""Data-loading workers end with the epoch that they served.

fairseq's iterator and its batch sampler hold each other, and torch's workers live as long as the iterator. Where each
epoch makes an iterator of its own, as nat_translation and --update-epoch-batch-itr do, the old ones waited with their
workers, some 200 MB each, for a collection of the oldest garbage, which may not come for hours.
"""

from __future__ import annotations

import weakref
from typing import Any

from nat_plugin.guards.patching import Function, replace


def install() -> None:
    from fairseq.data.iterators import EpochBatchIterator

    replace(EpochBatchIterator, "_get_iterator_for_epoch", _without_a_cycle)


def _without_a_cycle(original: Function) -> Function:
    def _get_iterator_for_epoch(self: Any, *args: Any, **kwargs: Any) -> Any:
        """fairseq's; the batch sampler does not keep its iterator alive, whose batches it has already."""
        result = original(self, *args, **kwargs)
        method = weakref.WeakMethod(self.ordered_batches)

        def ordered_batches(*places: Any) -> Any:
            batches = method()
            assert batches is not None, "a sampler makes batches of an iterator that is gone"
            return batches(*places)

        self.epoch_batch_sampler.ordered_batches = ordered_batches
        return result

    return _get_iterator_for_epoch
