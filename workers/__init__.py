"""One module per queue: `dramatiq workers.<module>` runs that stage and nothing else, several modules run several stages."""
