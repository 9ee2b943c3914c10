"""A project of Django in the process of the tests, on databases and a store of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="session")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, set up; its folder. Nothing of it stays in the environment: other tests start processes."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    folder = tmp_path_factory.mktemp("depot")
    sys.path.insert(0, str(PROJECT))
    os.environ["DEPOT_FOLDER"] = str(folder)
    try:
        import depot_settings
    finally:
        del os.environ["DEPOT_FOLDER"]
    settings.configure(**{name: value for name, value in vars(depot_settings).items() if name.isupper()})
    django.setup()
    for alias in ("default", "other"):
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
    return folder


@pytest.fixture
def clean(depot: Path) -> Iterator[Path]:
    """The project, its tables empty before the test and its connections closed after it."""
    from depot.models import Parcel
    from django.db import connections

    for alias in ("default", "other"):
        Parcel.objects.using(alias).all().delete()
    yield depot
    connections.close_all()
