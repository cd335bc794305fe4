"""Checks of the exercises, a module a notebook: each tries an answer on small cases and names the usual mistakes.

Where later cells use what a student wrote, what the package does stands beside the check, with the same arguments.
"""
