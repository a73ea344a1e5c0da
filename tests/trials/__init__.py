"""Trials that anyone can repeat: `python -m tests.trials`. docs/reliability.md shows what they gave."""
