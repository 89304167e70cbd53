"""The chat that a business puts on its site: the page, the API that it calls, and its live events.

What belongs here: visitors' tokens, ids as visitors see them, which sites may embed a chatbot, a visitor's own conversation.
What does not: what businesses' servers call (web/api), how often one may come (web/request_limits.py).
Who may import it: web/app.py, web/request_limits.py and web/desk/test_chat.py (visitors who test).
"""
