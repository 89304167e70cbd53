"""What operators and their tools look at: /healthz and /readyz, /metrics, /dashboard.

What belongs here: pages about how the system does. What does not: anything of one business (web/api).
Who may import it: web/app.py; of dashboard.py also scripts/dashboard.
"""
