"""A watcher's life: who else watches, what ends it, what it says and to whom, and what it bears."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from catalogdb.catalog import Catalog
from catalogdb.daemon import Watcher, WatchOptions
from catalogdb.daemon.clocks import JUMP_SECONDS
from catalogdb.records import Progress
from catalogdb.settings import Settings
from tests.e2e.watching.harness import Watching, checkpoint, put, rows_of, sidecar, wait_until, watching

DATABASES = Path(__file__).parents[2] / "migrations" / "databases"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


def run(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "catalogdb", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environ}
    )


def test_a_first_look_that_takes_long_is_no_standstill(root: Path, database: Path) -> None:
    """Nothing was missed: events come in only after it."""
    put(root / "run" / "last.ckpt", checkpoint(1))

    def halt() -> None:
        wait_until(database.exists)
        watcher = next(child for child in psutil.Process().children() if str(root) in child.cmdline())
        watcher.send_signal(signal.SIGSTOP)
        time.sleep(JUMP_SECONDS + 2)
        watcher.send_signal(signal.SIGCONT)

    halting = threading.Thread(target=halt)
    halting.start()
    with watching(root, database) as watcher:
        halting.join()
        wait_until(lambda: watcher.facts("reconciled"))
        time.sleep(2)
        assert [fact["why"] for fact in watcher.facts("reconciled")] == ["start"]


def test_a_second_watcher_says_so_and_leaves(root: Path, database: Path) -> None:
    (root / "below").mkdir()
    with watching(root, database) as watcher:
        for other in (root, root / "below", root.parent):
            ended = run("watch", other, "--db", database)
            assert ended.returncode == 3, ended.stderr
            assert ended.stderr.splitlines() == [
                f"catalogdb: error: {other}: is watched already, by process {watcher.process.pid} "
                f"on {socket.gethostname()}"
            ]
        assert run("watch", root, "--db", database.with_name("other.db"), "--once").returncode == 0
        watcher.process.kill()
        watcher.process.wait()
        with watching(root, database):
            pass
        watcher.process.returncode = 0


def test_it_leaves_at_once_when_asked(root: Path, database: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with watching(root, database, ends=None) as watcher:
            for step in range(300):
                put(root / f"run-{step % 30}" / f"{step}.ckpt", checkpoint(1))
            began = time.monotonic()
            assert watcher.stop(number) == 0
            assert time.monotonic() - began < 5
            assert watcher.facts()[-1]["event"] == "left"
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM watchers").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_status_shows_every_watcher(root: Path, tmp_path: Path, database: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with watching(root, database), watching(other, database, "--poll") as polling:
        put(root / "a.ckpt", checkpoint(1))
        wait_until(lambda: any(each["events"] for each in status(database)["watchers"]))
        wait_until(lambda: all(each["status"] == "watching" for each in status(database)["watchers"]))
        first, second = sorted(status(database)["watchers"], key=lambda each: each["roots"] == [str(other)])
        assert (first["roots"], first["polled"], first["alive"]) == ([str(root)], [], True)
        assert first["last_event_at"]
        assert first["reconciled_at"]
        assert (second["polled"], second["pid"]) == ([str(other)], polling.process.pid)
        assert second["status"] == "watching"
        shown = run("status", "--db", database).stdout
        assert f"{polling.process.pid}: watching" in shown
        polling.process.send_signal(signal.SIGKILL)
        polling.process.wait()
        assert [each["alive"] for each in status(database)["watchers"] if each["pid"] == polling.process.pid] == [False]
        assert f"{polling.process.pid}: gone, last heard" in run("status", "--db", database).stdout
        polling.process.returncode = 0


def status(database: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(run("status", "--db", database, "--format", "json").stdout)
    return found


def test_sighup_reconciles_and_reads_the_settings_again(root: Path, database: Path) -> None:
    with watching(root, database) as watcher:
        settings = put(database.with_name("catalogdb.toml"), 'suffixes = [".mine"]\n')
        put(root / "a.mine", checkpoint(1))
        time.sleep(0.5)
        assert not watcher.rows()
        watcher.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "a.mine" in watcher.rows())
        put(root / "b.mine", checkpoint(1))
        wait_until(lambda: "b.mine" in watcher.rows())
        settings.write_text("watch_reconcile = true\n")
        watcher.process.send_signal(signal.SIGHUP)
        wait_until(lambda: watcher.facts("settings kept"))


def test_a_detached_one(root: Path, database: Path) -> None:
    pid_file, log = database.with_name("watch.pid"), database.with_name("watch.log")
    ended = run("watch", root, "--db", database, "--detach", "--pid-file", pid_file, "--log-file", log)
    assert ended.returncode == 0, ended.stderr
    process = psutil.Process(int(ended.stdout))
    try:
        assert int(pid_file.read_text()) == process.pid
        assert os.getsid(process.pid) == process.pid, "a session of its own"
        put(root / "a.ckpt", checkpoint(1))
        wait_until(lambda: rows_of(database))
        again = run("watch", root, "--db", database, "--detach", "--log-file", log)
        assert again.returncode == 3
        assert again.stderr.count("\n") == 1
        assert "is watched already" in again.stderr
        process.terminate()
        wait_until(lambda: not pid_file.exists())
        psutil.wait_procs([process], timeout=10)
        assert not process.is_running()
    finally:
        if process.is_running():
            process.kill()
    assert " left" in log.read_text()


@pytest.mark.parametrize("options", [["--pid-file"], ["--detach", "--log-file"]], ids=" ".join)
def test_no_folder_is_made_for_a_file_that_was_named(root: Path, database: Path, options: list[str]) -> None:
    place = database.with_name("nowhere") / "file"
    ended = run("watch", root, "--db", database, *options, place)
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1] == f"catalogdb: error: {place}: No such file or directory"
    assert not place.parent.exists()


def test_a_root_that_is_not_there_is_waited_for_beside_others(root: Path, database: Path) -> None:
    put(root / "a.ckpt", checkpoint(1))
    away = database.with_name("away")
    with watching(root, database, str(away)) as watcher:
        assert [fact["root"] for fact in watcher.facts("root vanished")] == [str(away)]
        wait_until(lambda: f"{away}: isn't there" in str(status(database)["watchers"][0]["problems"]))
        put(root / "b.ckpt", checkpoint(2))
        wait_until(lambda: len(rows_of(database)) == 2)
        put(away / "c.ckpt", checkpoint(3))
        wait_until(lambda: len(rows_of(database)) == 3)
        wait_until(lambda: watcher.facts("root is back"))


def test_a_known_root_that_is_gone_is_waited_for(root: Path, database: Path) -> None:
    put(root / "a.ckpt", checkpoint(1))
    assert run("scan", root, "--db", database).returncode == 0
    aside = root.rename(root.with_name("aside"))
    once = run("watch", "--once", "--db", database)
    assert (once.returncode, once.stdout) == (3, "")
    assert "its rows are stale" in once.stderr
    with watching(root, database) as watcher:
        (row,) = watcher.rows().values()
        assert (row.state, row.stale) == ("ready", True)
        aside.rename(root)
        wait_until(lambda: not watcher.rows()["a.ckpt"].stale)
        watcher.assert_true()


def test_once_passes_over_a_root_that_is_not_there(root: Path, database: Path) -> None:
    put(root / "a.ckpt", checkpoint(1))
    ended = run("watch", "--once", root, database.with_name("nowhere"), "--db", database)
    assert ended.returncode == 3
    assert "Catalog built: 1 entry" in ended.stdout
    assert ended.stderr.splitlines()[-1] == f"catalogdb: error: {database.with_name('nowhere')}: no such folder"
    assert run("watch", database.with_name("nowhere"), "--db", database).returncode == 3


def test_its_pid_file_is_its_own(root: Path, database: Path) -> None:
    pid_file = database.with_name("watch.pid")
    with watching(root, database, "--pid-file", str(pid_file)) as watcher:
        assert run("watch", root, "--db", database, "--pid-file", pid_file).returncode == 3
        assert int(pid_file.read_text()) == watcher.process.pid
    assert not pid_file.exists()


def signalled(root: Path, database: Path, number: signal.Signals, *, once: bool = False) -> Watcher:
    """A watcher that gets a signal in the middle of its first look."""
    settings = Settings(url=f"sqlite:///{database}")
    sent: list[Progress] = []

    def send(progress: Progress) -> None:
        if not sent:
            sent.append(progress)
            os.kill(os.getpid(), number)

    options = WatchOptions((str(root),), use_wandb=False, once=once)
    return Watcher(options, settings, reload=lambda: settings, on_progress=send)


def test_a_first_look_that_was_all_and_is_interrupted(root: Path, database: Path) -> None:
    put(root / "a.ckpt", checkpoint(1))
    with pytest.raises(KeyboardInterrupt):
        signalled(root, database, signal.SIGINT, once=True).run()


def test_sighup_during_the_first_look_does_not_end_it(
    root: Path, database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(root / "a.ckpt", checkpoint(1))
    caplog.set_level(logging.INFO, "catalogdb.watch")
    watcher = signalled(root, database, signal.SIGHUP)
    read_again = watcher._read_again

    def leave() -> None:
        read_again()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watcher, "_read_again", leave)
    watcher.run()
    assert "watching" in [record.fact["event"] for record in caplog.records]  # type: ignore[attr-defined]


def test_events_are_told_to_a_command(root: Path, database: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with watching(root, database, "--exec", f"cat >> {told}; echo noise") as watcher:
        put(root / "run" / "epoch=3.metadata.yaml", sidecar(3))
        put(root / "run" / "epoch=3.ckpt", checkpoint(3))
        wait_until(lambda: watcher.facts("new best"))
        put(root / "run" / "broken.ckpt", b"PK\x03\x04 and no more")
        os.utime(root / "run" / "broken.ckpt", (1e9, 1e9))
        wait_until(lambda: watcher.facts("unreadable"))
        put(root / "run" / "epoch=4.metadata.yaml", sidecar(4))
        put(root / "run" / "epoch=4.ckpt", checkpoint(4))
        wait_until(lambda: len(watcher.facts("new best")) == 2)
        (root / "run" / "epoch=3.ckpt").unlink()
        wait_until(lambda: "missing" in told.read_text())
        watcher.assert_true()
    events = [json.loads(line) for line in told.read_text().splitlines()]
    names = [event["event"] for event in events]
    assert {"new", "new best", "unreadable", "missing"} <= set(names)
    best = [event for event in events if event["event"] == "new best"]
    assert [(event["value"], event["exp_name"], event["metric"]) for event in best] == [
        (0.03, "run", "val/hmean"),
        (0.04, "run", "val/hmean"),
    ]
    assert best[-1]["path"] == str(root / "run" / "epoch=4.ckpt")


def test_a_command_that_hangs_is_in_nobody_s_way(root: Path, database: Path) -> None:
    with watching(root, database, "--exec", "sleep 600") as watcher:
        for step in range(5):
            put(root / f"{step}.ckpt", checkpoint(step))
        watcher.assert_true()
        assert len(watcher.rows()) == 5
        children = psutil.Process(watcher.process.pid).children(recursive=True)
        assert children
        watcher.stop()
        assert not psutil.wait_procs(children, timeout=5)[1], "it is ended with the watcher"


def test_a_catalog_that_another_process_locks(root: Path, database: Path) -> None:
    with watching(root, database) as watcher:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            put(root / "a.ckpt", checkpoint(1))
            time.sleep(2)
            assert rows_of(database) == []
            connection.execute("ROLLBACK")
        wait_until(lambda: watcher.rows())
        watcher.assert_true()


def test_a_disk_that_is_full_for_a_while(root: Path, database: Path) -> None:
    """Its files can't grow beyond 12 kB: no row is half there, and once there is room again none is missing."""
    put(root / "a.ckpt", checkpoint(1))
    with watching(root, database) as watcher:
        watcher.assert_true()
        process = psutil.Process(watcher.process.pid)
        _, most = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (12_000, most))
        put(root / "b.ckpt", checkpoint(2))
        (failed,) = wait_until(lambda: watcher.facts("failed"), what="it says that it can't write")[:1]
        assert failed["message"].count("\n") == 0
        assert str(database) in failed["message"]
        assert [row.rel_path for row in rows_of(database)] == ["a.ckpt"]
        process.rlimit(psutil.RLIMIT_FSIZE, (most, most))
        wait_until(lambda: "b.ckpt" in watcher.rows())
        watcher.assert_true()
        put(root / "c.ckpt", checkpoint(3))
        wait_until(lambda: "c.ckpt" in watcher.rows())


def test_a_catalog_that_is_deleted_or_broken_under_it(root: Path, database: Path) -> None:
    put(root / "a.ckpt", checkpoint(1))
    with watching(root, database) as watcher:
        for path in database.parent.glob("catalog.db*"):
            path.unlink()
        put(root / "b.ckpt", checkpoint(1))
        wait_until(lambda: watcher.facts("catalog replaced"))
        wait_until(lambda: database.exists() and len(rows_of(database)) == 2)
        watcher.assert_true()
        for path in database.parent.glob("catalog.db*"):
            path.unlink()
        database.write_bytes(b"no database at all" * 1000)
        wait_until(lambda: len(watcher.facts("failed")) >= 2, what="it tries again, with pauses")
        assert len(watcher.facts("failed")) < 6
        database.unlink()
        put(root / "c.ckpt", checkpoint(1))
        wait_until(lambda: database.exists() and len(rows_of(database)) == 3, seconds=40)
        watcher.assert_true()


def test_a_catalog_of_another_version_ends_it(root: Path, database: Path) -> None:
    """Trying again would not mend it."""
    old = database.with_name("old.db")
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript((DATABASES / "0001.sql").read_text(encoding="utf-8"))
    with watching(root, database, ends=None) as watcher:
        for beside in database.parent.glob("catalog.db-*"):
            beside.unlink()
        old.replace(database)
        assert watcher.process.wait(20) == 4, watcher.log.read_text()
        last = watcher.log.read_text(encoding="utf-8").splitlines()[-1]
    assert last.startswith("catalogdb: error: ")
    assert "catalogdb db upgrade" in last


def test_systemd_is_told(root: Path, database: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = str(tmp_path / "notify")
        listening.bind(address)
        listening.settimeout(10)
        with watching(root, database, NOTIFY_SOCKET=address, WATCHDOG_USEC="20000000") as watcher:
            assert b"READY=1" in listening.recv(4096)
            assert listening.recv(4096) == b"WATCHDOG=1"
            watcher.process.send_signal(signal.SIGHUP)
            assert listening.recv(4096).startswith(b"RELOADING=1")
            assert listening.recv(4096) == b"READY=1"
            watcher.stop()
            said = [listening.recv(4096)]
            while said[-1] != b"STOPPING=1":
                said.append(listening.recv(4096))


def test_the_unit_runs_this_command(root: Path, database: Path) -> None:
    ended = run("watch", root, "--db", database, "--exec", "mail me", "--print-unit")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert "Type=notify" in lines
    assert "TimeoutStartSec=infinity" in lines, "it is ready after its first look, however long that takes"
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert f"-m catalogdb watch {root} --exec 'mail me'" in start
    assert not database.exists()


def test_without_roots_it_watches_what_the_catalog_knows(root: Path, database: Path) -> None:
    put(root / "a.ckpt", checkpoint(1))
    assert run("watch", "--db", database).returncode == 2
    assert run("scan", root, "--db", database).returncode == 0
    ended = run("watch", "--db", database, "--once")
    assert (ended.returncode, ended.stdout.split(" in ")[0]) == (
        0,
        "Catalog built: 1 entry (0 YAML, 0 Wandb, 1 legacy)",
    )


def test_a_folder_of_a_known_root(root: Path, database: Path) -> None:
    """Its rows belong to the root; a watcher of the folder keeps its part of them true."""
    put(root / "one" / "a.ckpt", checkpoint(1))
    put(root / "two" / "a.ckpt", checkpoint(1))
    url = f"sqlite:///{database}"
    with Catalog.open(url, settings=Settings(url=url)) as catalog:
        catalog.scan(root)
    with watching(root / "one", database) as watcher:
        put(root / "one" / "runs" / "b.ckpt", checkpoint(2))
        wait_until(lambda: "one/runs/b.ckpt" in watcher.rows())
        (root / "one" / "a.ckpt").unlink()
        wait_until(lambda: watcher.rows()["one/a.ckpt"].state == "missing")
        Watching(watcher.process, root, database, watcher.log).assert_true()
