"""/api/v1 for businesses' servers: chatbots, knowledge, conversations and messages, webhook endpoints and events, queues, usage.

What belongs here: the routes, their schemas, the API keys, and the OpenAPI document that flask-smorest makes of both.
What does not: the widget's API, which visitors' pages call (web/widget/api.py), and reading of requests (web/parameters.py).
Who may import it: web/app.py, web/desk (schemas, limits, keys); of keys.py also scripts.
"""
