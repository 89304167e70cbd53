"""One module per queue: `dramatiq workers.<module>` runs that stage and nothing else."""
