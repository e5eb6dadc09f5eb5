"""The allowlist's hash, held to vectors computed from the platform's own algorithm."""

import pytest

from rensei_daemon.core.admission import AllowlistEntry, report, report_from

A = ("proj_a", "https://github.com/o/a")
B = ("proj_b", "https://github.com/o/b")


@pytest.mark.parametrize(
    ("mode", "ids", "entries", "digest"),
    [
        ("enumerated", [], [], ""),
        ("", [], [], ""),
        (
            "enumerated",
            ["proj_a"],
            [],
            "a5acdba7c3fc4668b473d01f2d0a88c12b2c2c100baeaadb3768eb2465a24880",
        ),
        (
            "enumerated",
            ["proj_b", " proj_a", "proj_a"],
            [],
            "a6c2ead7b4e7214437736a173279977bf89659949586e517e2760faa4f5b7aa2",
        ),
        (
            "all-routed",
            [],
            [],
            "18d8c80a08a370dfa492c184566fc71de75e6b52ec1e426ff8068b59ca4e5daa",
        ),
        (
            "enumerated",
            [],
            [A],
            "754bb4963329cdc4babc39f8881190f11cf33f819dae97bb4cb9617b14a8792e",
        ),
        (
            "enumerated",
            ["proj_a"],
            [A],
            "3e84b12222b44638219bc0e733d4bd05e8c761810a716ae9296c44c927759a6b",
        ),
        (
            "enumerated",
            ["proj_a", "proj_b"],
            [B, A],
            "3069174b9860c00681d43f6e1cf2dc81f7cc80c937a66383c192f3848dafb233",
        ),
        ("enumerated", [], [("proj_a", "")], ""),
    ],
)
def test_the_hash_is_the_platforms(
    mode: str, ids: list[str], entries: list[tuple[str, str]], digest: str
) -> None:
    """Every vector is reproduced, whatever the order and the blanks around the ids."""
    assert report_from(mode=mode, enabled_ids=ids, entries=entries).hash == digest


def test_a_file_is_reported_by_repository() -> None:
    """One entry a repository, disabled projects included; only enabled ids are enabled."""
    projects = {
        "proj_b": {"repositories": ["https://x/2", "https://x/1"]},
        "proj_a": {"repositories": ["https://x/0"], "enabled": False},
        "proj_c": {"enabled": True},
    }
    told = report(projects, mode="enumerated")
    assert told.enabled_ids == ("proj_b", "proj_c")
    assert told.entries == (
        AllowlistEntry("proj_a", "https://x/0"),
        AllowlistEntry("proj_b", "https://x/2"),
        AllowlistEntry("proj_b", "https://x/1"),
    )


def test_a_password_in_the_file_is_not_reported() -> None:
    """The platform gets the repository without the password."""
    found = report(
        {"a": {"repositories": ["https://u:canary@git.example/x", "ssh://git@h/y"]}},
        mode="enumerated",
    )
    assert found.entries == (
        AllowlistEntry("a", "https://…@git.example/x"),
        AllowlistEntry("a", "ssh://git@h/y"),
    )
