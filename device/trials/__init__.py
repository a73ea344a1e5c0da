"""Trials that anyone can repeat: `python -m device.trials`. docs/reliability.md shows what they gave."""
