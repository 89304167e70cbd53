"""How the front door serves: one event loop a process, which reads requests and serves open pages, and threads for Flask.

A connection, an unfinished request and an open page cost memory, and no thread: an ASGI application on uvicorn, within gunicorn.
It hands complete requests to Flask.

What belongs here: connections and their deadlines, what is refused before a body is read, handing over to Flask and back.
What does not: anything of a route (hooks/, widget/, api/, ops/), what a stream sends (widget/sse.py, desk/live.py).
It may import: app, request_limits, problems, hardening, shared. Used by the Procfile; hooks/, widget/ and desk/ import
wsgi.py, streams.py and stream_places.py.
"""
