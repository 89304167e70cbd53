"""Runs gunicorn as the Procfile's `web` does: python -m web.server "web.server.front:create_front()" --config …

An argument that the Procfile made of a setting, and gunicorn does not take, is the setting's fault: that one is named.
"""

from __future__ import annotations

from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]  # it has none


def main() -> None:
    """As gunicorn's own command."""
    try:
        run()
    except SystemExit as refusal:
        if refusal.code == 2:  # of its command line
            from shared.config import settings  # here, because the workers import it for themselves

            settings()
        raise


if __name__ == "__main__":
    main()
