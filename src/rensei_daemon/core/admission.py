"""The project allowlist as the platform sees it."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from rensei_daemon.core.url_secrets import without_secret
from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """One repository of one project."""

    id: str
    repository: str


@dataclass(frozen=True, kw_only=True)
class AdmissionReport:
    """The projects this host admits: sent in full after a change, else by its hash."""

    mode: str
    """`enumerated` or `all-routed`."""
    enabled_ids: tuple[str, ...]
    """Ids of the enabled projects, sorted."""
    entries: tuple[AllowlistEntry, ...]
    """Every (id, repository), disabled projects included, sorted by id."""

    @cached_property
    def hash(self) -> str:
        r"""The report's hash by the platform's newest algorithm.

        Hex SHA-256 of `mode\0M\0\0`, then `enabled\0`, each id and `\0`, `\0\0`,
        then `entries\0`, each id, `\0`, repository and `\0\0`. Empty if an
        enumerating host has nothing to report.
        """
        if self.mode == "enumerated" and not self.enabled_ids and not self.entries:
            return ""
        ids = "".join(f"{project}\0" for project in self.enabled_ids)
        entries = "".join(f"{e.id}\0{e.repository}\0\0" for e in self.entries)
        text = f"mode\0{self.mode}\0\0enabled\0{ids}\0\0entries\0{entries}"
        return hashlib.sha256(text.encode()).hexdigest()


NOTHING = AdmissionReport(mode="enumerated", enabled_ids=(), entries=())
"""The report of a host without projects."""


def report_from(
    *, mode: str, enabled_ids: Iterable[str], entries: Iterable[tuple[str, str]]
) -> AdmissionReport:
    """Return a report in the platform's normal form: trimmed, unique, sorted, no blanks."""
    ids = {project.strip() for project in enabled_ids}
    return AdmissionReport(
        mode=mode.strip() or "enumerated",
        enabled_ids=tuple(sorted(ids - {""})),
        entries=tuple(
            AllowlistEntry(project, repository)
            for project, repository in sorted(entries, key=lambda entry: entry[0])
            if project and repository
        ),
    )


def report(projects: Mapping[str, Any], *, mode: str) -> AdmissionReport:
    """Report the file's `[projects]`: `{id: {repositories: [...], enabled?}}`.

    Passwords that an operator wrote into a repository's URL are removed.
    """
    return report_from(
        mode=mode,
        enabled_ids=[key for key, entry in projects.items() if entry.get("enabled", True)],
        entries=[
            (key, without_secret(repository))
            for key, entry in projects.items()
            for repository in entry.get("repositories", ())
        ],
    )
