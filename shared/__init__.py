"""What the stages share; DESIGN in one sentence: PostgreSQL remembers, Redis moves."""
