"""The configuration in force: the last text of the file that could be used.

A new text comes from a person's edit (`tasks.reload`) or from the daemon's own edit
(`tasks.mutations`). Both are put in force here, and the listeners are called. A text that
cannot be used changes nothing: the last good one stays in force, also across a reboot.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.admission import NOTHING, AdmissionReport, report
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.health import ConfigHealth, ProjectsHealth
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.errors import RenseiError, SettingsError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.long_work import run_in_thread
from rensei_daemon.settings.restart_required import needs_restart
from rensei_daemon.settings.sources import Validator
from rensei_daemon.settings.texts import refuse_blank
from rensei_daemon.settings.values import Settings

PATIENCE = 100
"""How many different errors in a row are logged: a person fixes one after another."""

ValidText = ValidConfig[Settings]

_URL = re.compile(
    r"""^[ \t]*(?:platform[ \t]*\.[ \t]*)?url[ \t]*=[ \t]*["'](?P<url>[^"'\n]*)""",
    re.MULTILINE,
)

_log = structlog.get_logger()


class Configuration:
    """Holds the text and settings in force, and calls its listeners after a change."""

    def __init__(
        self, file: ConfigFile, *, validator: Validator, in_force: ValidText
    ) -> None:
        self.file = file
        self.in_force = in_force
        self.turn = anyio.Lock()
        """Held from reading a text until it is in force, so that no older one follows."""
        self._last = in_force
        """The text that was read, or accepted, last."""
        self._started_with = in_force.settings
        self._validator = validator
        self._listeners: list[Callable[[], None]] = []
        self._refusals = FailureReporter(most_texts=PATIENCE)
        self._reported: tuple[ValidText | None, AdmissionReport] = (None, NOTHING)

    @property
    def document(self) -> Document:
        """The text in force."""
        return self.in_force.document

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.in_force.settings

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call the listener after each change of what is in force."""
        self._listeners.append(listener)

    @property
    def guards(self) -> Guards:
        """What the platform may not change here."""
        mutations = self.settings.mutations
        return Guards(
            allow=mutations.allow, protected_projects=mutations.protected_projects
        )

    @property
    def report(self) -> AdmissionReport:
        """The allowlist as it is reported to the platform."""
        return self._report_of(self.in_force)

    def _report_of(self, config: ValidText) -> AdmissionReport:
        """Return the report of a text, which is made once: 10,000 projects take 50 ms."""
        if config is not self._reported[0]:
            projects = config.document.tree.get("projects", {})
            made = report(projects, mode=config.settings.admission.mode)
            self._reported = config, made
        return self._reported[1]

    def read(self) -> ValidText:
        """Read today's text, and validate it unless that was just done; block.

        Raise `SettingsError` if it cannot be used.
        """
        document = self.file.read()
        for known in (self.in_force, self._last):
            if document.text == known.document.text:
                self._last = known
                return known
        self._last = validated(document, self.file.path, self._validator)
        return self._last

    def read_anew(self) -> ValidText:
        """Do the same, but validate the text in force again: a group may be gone."""
        today = self.read()
        if today is not self.in_force:
            return today
        return validated(today.document, self.file.path, self._validator)

    def accept(self, document: Document) -> Settings:
        """Return the settings of an edited text; block.

        Raise `SettingsError`, which names no lines, if it cannot be used.
        """
        settings = self._validator.accept(document)
        self._last = ValidConfig(document, settings)
        return settings

    async def adopt(self, today: ValidText | None, board: Board) -> None:
        """Put a valid text in force; do nothing with None.

        Its report is made before, in a thread, so that no other task waits for it.
        """
        if today is None:
            return
        await run_in_thread(partial(self._report_of, today))
        is_new = today.document.text != self.document.text
        # A fixed file is a change even if its text is the one in force.
        is_news = is_new or not board.config.valid
        self.in_force = self._last = today
        self.post(board)
        if is_news:
            for listener in self._listeners:
                listener()
        self.log_usable()
        if is_new:
            digest = today.document.digest
            _log.info("config.reloaded", path=str(self.file.path), digest=digest)

    def post(self, board: Board) -> None:
        """Show on the board that the file is in force."""
        projects = self.settings.projects.values()
        enabled = sum(project.enabled for project in projects)
        board.post(ConfigHealth(path=str(self.file.path), digest=self.document.digest))
        board.post(ProjectsHealth(enabled=enabled, disabled=len(projects) - enabled))
        if waiting := self.awaiting_restart:
            board.raise_alarm(
                Code.CONFIG_RESTART_NEEDED,
                f"{', '.join(waiting)} changed, which takes effect at the next start",
                hint="systemctl restart rensei-daemon",
                now=CLOCK.now(),
            )
        else:
            board.clear(Code.CONFIG_RESTART_NEEDED)

    def refuse(self, error: RenseiError, board: Board) -> None:
        """Show on the board that the file cannot be used."""
        board.post(
            ConfigHealth(
                path=str(self.file.path),
                digest=self.document.digest,
                valid=False,
                error=str(error),
                hint=error.hint,
                since=board.config.since or CLOCK.now(),
            )
        )

    @property
    def awaiting_restart(self) -> tuple[str, ...]:
        """The keys whose values in the file differ from what the daemon started with."""
        return needs_restart(self._started_with, self.settings)

    @property
    def url_is_in_force(self) -> bool:
        """Whether platform.url is still what the daemon started with."""
        return self.settings.platform.url == self._started_with.platform.url

    def _urls_named_by(self, text: str) -> set[str]:
        try:
            return {self._validator.load(Document(text)).platform.url}
        except SettingsError:
            return _urls_in(text)

    def require_chosen_url(self) -> None:
        """Raise `SettingsError` unless today's file names the url in force; block.

        A new API key must not go to a platform that the operator has just replaced, even if
        the file is only half written.
        """
        url = self._started_with.platform.url
        if self._urls_named_by("") == {url}:
            return  # the environment sets it, whatever the file says
        if self._urls_named_by(self.file.read().text) != {url}:
            raise SettingsError(
                f"{self.file.path} does not name {url}, which is in force, as its "
                "platform.url; no new API key is taken up for it",
                hint="systemctl restart rensei-daemon",
            )

    def log_refused(self, error: RenseiError) -> None:
        """Log that the file cannot be used."""
        self._refusals.report_error("config.refused", error)

    def log_usable(self) -> None:
        """Log that the file can be used again, if it could not."""
        self._refusals.report_recovery("config.recovered")


def _urls_in(text: str) -> set[str]:
    """Return every value of a key `url` in a text that cannot be parsed."""
    return {found["url"].rstrip("/") for found in _URL.finditer(text)}


def validated(document: Document, path: Path, validator: Validator) -> ValidText:
    """Parse and validate a text; block. Raise `SettingsError` if it cannot be used."""
    refuse_blank(document.text, path=path)
    return ValidConfig(document, validator.load(document, on_host=True))
