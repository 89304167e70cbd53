"""The desk: the web application of a business's staff and owner, and of operators.

What belongs here: pages, server-rendered, with forms that work without JavaScript; who may open which (`access`), the entries of
the menu (`navigation`), the texts' languages (`language`), the list of its modules (`pages`). Looks are in web/static/desk.css,
templates in web/templates/desk, German in web/translations.
What does not: rules and queries that the API or a command shares; those are functions in shared/.
It may import: web's own helpers, shared. Used by web/app.py.
"""

from __future__ import annotations

from flask import Blueprint

desk = Blueprint("desk", __name__, url_prefix="/desk")
