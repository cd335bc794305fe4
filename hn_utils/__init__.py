"""H-Neurons, step by step: ask, judge, capture contributions, probe, intervene, and look back at the base model."""

__version__ = "0.1.0"
