"""One module per queue. `python -m shared.jobs.supervisor workers.<module> …` runs one stage, or several in one process."""
