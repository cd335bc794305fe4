"""Checks of the exercises, a module a notebook: each tries an answer on small cases and names the usual mistakes.

Where later cells use what a student wrote, the package's own way to do it stands beside the check.
"""
