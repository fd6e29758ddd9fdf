"""A PostgreSQL server for one test, from Debian's binaries."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.orchestration.served import waited
from warrior_dagster.inference.servers.vllm import free_port

PASSWORD = "p w/@:%"
"""A password with characters that a URL must escape."""


@contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """A server on the loopback with one user and that user's empty database; yields the environment that names them.

    Skips the test without PostgreSQL.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    # The server refuses to run as root: the package created a user for it.
    as_user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.getuid() == 0 else {}
    folder, port = Path(tempfile.mkdtemp()), free_port()  # pytest's own folders are closed to other users
    try:
        (folder / "password").write_text(PASSWORD)
        if as_user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        made = [str(found[-1] / "initdb"), "-D", str(folder / "data"), "-U", "warrior", "--auth=scram-sha-256", "--no-sync"]
        made += [f"--pwfile={folder / 'password'}", "--encoding=UTF8", "--locale=C"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)
        settings = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        command = [str(found[-1] / "postgres"), "-D", str(folder / "data"), *(part for one in settings for part in ("-c", one))]
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **as_user)
        try:
            reached = ["-h", "127.0.0.1", "-p", str(port), "-U", "warrior"]
            waited(lambda: subprocess.run([found[-1] / "pg_isready", "-q", *reached], check=False).returncode == 0, 60)
            secret = os.environ | {"PGPASSWORD": PASSWORD}
            subprocess.run([found[-1] / "createdb", *reached, "dagster"], check=True, env=secret)
            yield {
                "DAGSTER_PG_USERNAME": "warrior",
                "DAGSTER_PG_PASSWORD": PASSWORD,
                "DAGSTER_PG_HOST": "127.0.0.1",
                "DAGSTER_PG_DB": "dagster",
                "DAGSTER_PG_PORT": str(port),
            }
        finally:
            server.terminate()
            server.wait(60)
    finally:
        shutil.rmtree(folder)
