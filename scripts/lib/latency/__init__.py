"""How fast trained systems translate: one sentence at a time, and in batches as large as they may be.

==============  =====================================================================================
systems         what is compared: ``RUN:iterations=10`` → a checkpoint with its decoding flags
translator      a system loaded into this process, exactly as fairseq-generate would load it
one_by_one      L1: every sentence alone, systems in turn
throughput      Lmax: the largest or the fastest batch, and the time for all sentences with it
batch_search    how that batch is found
rows            what is saved: figures with spread, signatures
report, figure  tables for people and for programs, and quality against latency as a plot
==============  =====================================================================================

Gu & Kong 2021, §4.1, define the measures: wall time for the whole test set, divided by its sentences.
"""
