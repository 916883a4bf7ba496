"""The one Lightning module with its loss, metrics, schedules and callbacks."""
