"""The journal's schema, as a list of migrations.

Step N takes a journal from version N to N + 1; a new one takes all steps. A released step
is never changed, because existing journals have taken it.
"""

APPLICATION_ID = 0x52454E53
"""`RENS`, in the header of every journal; a database without it belongs to another program.
"""

STEPS = (
    f"""
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE mutations (
    position     INTEGER PRIMARY KEY AUTOINCREMENT, -- the platform's order of delivery
    id           TEXT NOT NULL UNIQUE,
    op           TEXT NOT NULL,
    params       TEXT,                      -- JSON; dropped after a while
    digest       TEXT NOT NULL,             -- of op and params
    requested_by TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    received_at  TEXT NOT NULL,
    state        TEXT NOT NULL,
    error        TEXT NOT NULL DEFAULT '',
    decided_at   TEXT NOT NULL DEFAULT '',
    acked_at     TEXT NOT NULL DEFAULT '',
    is_suspect   INTEGER NOT NULL DEFAULT 0, -- was in flight when the daemon died
    flight       INTEGER NOT NULL DEFAULT 0, -- how many are in flight with it
    deaths       INTEGER NOT NULL DEFAULT 0,
    boot_id      TEXT NOT NULL DEFAULT '',
    is_conflict  INTEGER NOT NULL DEFAULT 0  -- came again with other content
) STRICT;
CREATE INDEX mutations_by_state ON mutations (state, position);
CREATE TABLE changes (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    mutation_id   TEXT,                     -- null: ours
    cause         TEXT NOT NULL,
    requested_by  TEXT NOT NULL,
    at            TEXT NOT NULL,
    edits         TEXT NOT NULL,            -- JSON: [[path, before, after], ...]
    digest_before TEXT NOT NULL,
    digest_after  TEXT NOT NULL,
    is_made       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE texts (digest TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
""",
    """
-- What a change wrote, entry by entry: JSON like `edits`.
ALTER TABLE changes ADD COLUMN entries TEXT NOT NULL DEFAULT '[]';
ALTER TABLE mutations ADD COLUMN intended_at TEXT NOT NULL DEFAULT '';
CREATE INDEX changes_by_mutation ON changes (mutation_id);
""",
    """
-- How many mutations stand where, kept by the database: counting a million takes long.
CREATE TABLE totals (state TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT;
INSERT INTO totals SELECT state, count(*) FROM mutations GROUP BY state;
CREATE TRIGGER mutation_counted AFTER INSERT ON mutations BEGIN
    INSERT INTO totals VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER mutation_moved AFTER UPDATE OF state ON mutations BEGIN
    UPDATE totals SET n = n - 1 WHERE state = old.state;
    INSERT INTO totals VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
CREATE INDEX mutations_by_decision ON mutations (decided_at, position);
CREATE INDEX mutations_with_params ON mutations (position) WHERE params IS NOT NULL;
""",
    """
-- Apart from the mutations: each step of one rewrites its row, params of 250 KB too.
CREATE TABLE params (
    position INTEGER PRIMARY KEY,  -- the mutation's
    size     INTEGER NOT NULL,     -- characters of
    json     TEXT NOT NULL
) STRICT;
INSERT INTO params SELECT position, length(params), params FROM mutations
    WHERE params IS NOT NULL;
DROP INDEX mutations_with_params;
ALTER TABLE mutations DROP COLUMN params;
""",
)

VERSION = len(STEPS)
