"""A database's address is shown without its secrets, wherever it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.schema.session import open_database
from db.schema.urls import hide_secrets, show_url
from engine.errors import LabelError
from ui.services.open_judge import database_setting
from ui.settings import Settings

SECRET = "s3cr-et"
ADDRESSES = [
    "postgresql+psycopg://ann:s3cr-et@host:5432/labels",
    "postgresql+psycopg://:s3cr-et@host/labels",
    "postgresql://ann@host/labels?password=s3cr-et&sslmode=require",
    "postgresql://host/labels?user=ann&sslpassword=s3cr-et",
    "mysql://ann:s3cr-et@host/labels?passwd=s3cr-et",
    "postgresql://ann:a@b:s3cr-et@host/labels",
    "postgresql://ann:x/s3cr-et@host/labels",
    "postgresql://ann:x?s3cr-et@host/labels",
    "postgresql://ann:x#s3cr-et@host/labels",
    "nonsense://ann:s3cr-et@",
    "postgresql://ann:s3cr-et@host:notaport/labels",
    "postgresql://ann:s3cr-et@[::1/labels",
    "snowflake://ann@host/labels?private_key=s3cr-et&api_token=s3cr-et",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_secret_is_nowhere_in_what_is_shown(address: str) -> None:
    assert SECRET not in show_url(address)
    assert show_url(address).startswith(address.partition("://")[0] + "://")
    settings = Settings(db=address)
    assert SECRET not in repr(settings)
    assert SECRET not in " ".join(database_setting(settings))
    for quoted in (
        f"connection to {address} failed",
        f"bad DSN: user=ann password={SECRET} host=h",
        f"could not parse '{address}'",
    ):
        assert SECRET not in hide_secrets(quoted, address)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_error_quotes_it(address: str) -> None:
    with pytest.raises(LabelError) as caught:
        open_database(address.replace("host", "127.0.0.1"))
    shown: BaseException | None = caught.value
    assert SECRET not in str(shown)
    # A log would print what it came from.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_escaped_secrets_are_hidden_in_either_form() -> None:
    address = "postgresql://ann:p%40ss%2Fword@host/labels"
    assert hide_secrets("password p@ss/word and p%40ss%2Fword", address) == "password *** and ***"


def test_what_is_no_secret_stays(tmp_path: Path) -> None:
    assert show_url(str(tmp_path / "a:b@c.db")) == str(tmp_path / "a:b@c.db")
    assert show_url("sqlite:////data/labels.db") == "sqlite:////data/labels.db"
    assert show_url("postgresql://ann@host:5432/labels?sslmode=require") == "postgresql://ann@host:5432/labels?sslmode=require"
    assert hide_secrets("unable to open database file", "labels.db") == "unable to open database file"
