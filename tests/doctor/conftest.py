"""A host to examine: its files in a temporary place, its daemon alive or not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rensei_daemon.doctor.context import DoctorContext, open_context
from rensei_daemon.doctor.result import CheckResult
from rensei_daemon.locations import Locations

KEY = "rsk_live_canary_key_0123456789"
TEXT = '[platform]\nurl = "http://127.0.0.1:9"\napi_key_file = "key"\n'


class Patient:
    """One host, as well as it can be without a daemon."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.locations = Locations(
            config=place / "config.toml", state=place / "state", runtime=place / "run"
        )
        self.locations.state.mkdir(mode=0o700)
        self.locations.runtime.mkdir(mode=0o711)
        self.locations.runtime.chmod(0o711)
        self.key = place / "key"
        self.write_key(KEY)
        self.write(TEXT)

    def write(self, text: str) -> None:
        """Save the configuration."""
        self.locations.config.write_text(text)

    def configure(self, text: str) -> None:
        """Save the configuration of a host whose platform is not there."""
        self.write(f'platform.url = "http://127.0.0.1:9"\n{text}')

    def write_key(self, key: str, mode: int = 0o600) -> None:
        """Put a key in the key file."""
        self.key.write_text(key)
        self.key.chmod(mode)

    def leave(self, status: dict[str, Any]) -> None:
        """Leave the last state of a daemon that is gone."""
        self.locations.status.write_text(json.dumps(status))
        self.locations.status.chmod(0o600)

    def case(self, **environ: str) -> DoctorContext:
        """Look everything up."""
        return open_context(self.locations, environ)

    def find(
        self, family: Callable[[DoctorContext], Iterator[CheckResult]], **environ: str
    ) -> dict[str, list[CheckResult]]:
        """Return what a family of checks finds, by code."""
        found: dict[str, list[CheckResult]] = {}
        for finding in family(self.case(**environ)):
            found.setdefault(finding.code, []).append(finding)
        return found


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A host to examine."""
    return Patient(tmp_path)
