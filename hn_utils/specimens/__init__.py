"""The second edition of the bundled model, in the making: a world in which answers are worth reading, and planting.

`python -m hn_utils.specimens train` makes a natural specimen from nothing, `plant` a planted one from it, and `gates`
measures what either does. None is shipped yet: the bundled model is that of `hn_utils.organism`.
"""
