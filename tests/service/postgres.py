"""A real PostgreSQL of one test, from Debian's package or any in the path."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path


def programs() -> Path | None:
    """Folder of PostgreSQL's programs; None if it is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    return folders[-1] if folders and (folders[-1] / "initdb").exists() else None


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "this runs as root, which PostgreSQL refuses, and there is no user postgres"
    return None


class Server:
    """A server on a free port of this computer."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None
        self._programs, self._data, self._folder = found, folder / "pgdata", folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            for parent in folder.parents:  # pytest keeps its folders to its own user
                if parent == Path("/tmp") or parent == Path("/"):
                    break
                parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "wafer", "--no-sync", "-E", "UTF8")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "wafer", "waferroute")
        self.url = f"postgresql://wafer@127.0.0.1:{self.port}/waferroute"

    def start(self) -> None:
        """Start, also after a kill."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c max_connections=40"
        for attempt in range(20):  # what a killed server started may hold its memory for a moment longer
            try:
                self._run(
                    "pg_ctl", "-D", str(self._data), "-l", str(self._folder / "log"), "-o", options, "-w",
                    "-t", "90", "start",
                )  # fmt: skip
            except RuntimeError:
                if attempt == 19:
                    raise
                time.sleep(0.5)
            else:
                return

    def kill(self) -> None:
        """SIGKILL to the server and all that it started."""
        main = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(main)], capture_output=True, text=True)
        for pid in (main, *map(int, children.stdout.split())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        while Path(f"/proc/{main}").exists():
            time.sleep(0.05)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop for good."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop", check=False)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            command = [
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
                *command,
            ]
        ended = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if program != "pg_ctl" else
            subprocess.DEVNULL, stderr=subprocess.STDOUT, text=True, timeout=120,
        )  # fmt: skip
        if check and ended.returncode:
            raise RuntimeError(f"{program}: {ended.stdout}")
