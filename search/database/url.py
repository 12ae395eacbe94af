"""Where a team keeps its Optuna studies: the address of a PostgreSQL database, as ``storage.optuna`` says it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

__all__ = ["SCHEME", "check_database_url", "libpq_url"]

SCHEME = "postgresql+psycopg"
_FORM = f"{SCHEME}://USER@HOST:PORT/DATABASE"
_LEGAL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def check_database_url(url: str) -> str:
    """Return the address if it names a database and no password; what is refused is not repeated, it may be secret.

    Raises:
        ValueError: Another scheme, a password, or no database.
    """
    scheme, separator, _ = url.partition("://")
    if scheme != SCHEME or not separator:
        came = (
            f"{scheme}://..."
            if separator and scheme.replace("+", "").isalnum()
            else "no scheme that is known"
        )
        raise ValueError(f"must be null (a journal file) or {_FORM}, but got {came}")
    if not _LEGAL.fullmatch(url):
        raise ValueError(
            f"must be {_FORM} with other characters written as %XX, but has some that no URL has"
        )
    try:
        parts = urlsplit(url)
        named = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        has_password, _ = parts.password is not None, parts.port
    except ValueError:
        raise ValueError(f"must be {_FORM}, but its host or port cannot be read") from None
    if has_password or any("password" in name.lower() for name in named):
        raise ValueError(
            "must hold no password, which would be kept in spec.yaml; set PGPASSWORD, or write a line "
            "HOST:PORT:DATABASE:USER:PASSWORD into ~/.pgpass (mode 600)"
        )
    if not parts.path.strip("/"):
        raise ValueError(f"must name a database, such as {_FORM}, but names none")
    return url


def libpq_url(url: str) -> str:
    """Return the address as libpq reads it, which knows no drivers."""
    return url.replace(f"{SCHEME}://", "postgresql://", 1)
