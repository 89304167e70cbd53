"""One module per queue. `dramatiq workers.<module>` runs one stage, or several in one process."""
