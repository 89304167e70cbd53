"""The test harness of `scripts/chaos`: a load, the disruptions injected while it runs, and the audit afterwards."""
