"""Measures against named rivals: ratios, never bare rates (docs/benchmarks.md says how to repeat).

Rivals are interleaved with us in one run (A B B A …); each figure is the median of the rounds.
"""
