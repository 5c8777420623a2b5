"""What the scheduler remembers, as small files of the state directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from resticwrap.catalog.files import Files, plain
from resticwrap.model.base import Time, to_json
from resticwrap.model.schedule import Heartbeat, Pause, RunRequest
from resticwrap.model.unattended import ScheduledRun


class FolderSchedule(Files):
    """The port `ScheduleFiles` in `schedule/` of the state directory: `handled.json`, `paused.json`, `heartbeat.json`,
    `runs/{run}.json`, `requests/{request}.json`."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self._folder = state_dir / "schedule"
        self._runs = self._folder / "runs"
        self._requests = self._folder / "requests"

    def handled(self) -> Mapping[str, Time]:
        """Empty also where the file does not make sense: the catalogue knows the same."""
        return self._read(dict[str, Time], self._folder / "handled.json") or {}

    def put_handled(self, handled: Mapping[str, Time]) -> None:
        self._write(self._folder / "handled.json", to_json(dict(handled)))

    def pauses(self) -> Mapping[str, Pause]:
        """Empty also where the file does not make sense: a pause that is lost costs less than one that nobody made."""
        return self._read(dict[str, Pause], self._folder / "paused.json") or {}

    def put_pauses(self, pauses: Mapping[str, Pause]) -> None:
        self._write(self._folder / "paused.json", to_json(dict(pauses)))

    def heartbeat(self) -> Heartbeat | None:
        return self._read(Heartbeat, self._folder / "heartbeat.json")

    def put_heartbeat(self, heartbeat: Heartbeat) -> None:
        # Not flushed: after a power cut it says nothing in any case.
        self._write(self._folder / "heartbeat.json", to_json(heartbeat), flush=False)

    def spool(self, run: ScheduledRun) -> None:
        self._write(self._run(run.id), to_json(run))

    def spooled(self) -> Sequence[ScheduledRun]:
        """An unreadable file is renamed aside, never deleted."""
        found = [run for _, run in self._read_all(ScheduledRun, self._runs)]
        return sorted(found, key=lambda run: (run.started_at, run.id))

    def unspool(self, run_id: str) -> None:
        file = self._run(run_id)
        with self._guarded(file):
            file.unlink(missing_ok=True)

    def ask(self, request: RunRequest) -> None:
        self._write(self._request(request.id), to_json(request))

    def asked(self) -> Sequence[RunRequest]:
        found = [request for _, request in self._read_all(RunRequest, self._requests)]
        return sorted(found, key=lambda request: (request.at, request.id))

    def drop(self, request_id: str) -> None:
        file = self._request(request_id)
        with self._guarded(file):
            file.unlink(missing_ok=True)

    def _run(self, run_id: str) -> Path:
        return self._runs / f"{plain(run_id)}.json"

    def _request(self, request_id: str) -> Path:
        return self._requests / f"{plain(request_id)}.json"
