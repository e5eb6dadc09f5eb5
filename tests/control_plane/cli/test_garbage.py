"""When the program looks for garbage."""

import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS
from platform_template import founded, key_file_of, sqlite_url

SCRIPT = """
import gc, os, signal, sys, threading, time
usual = gc.get_threshold()
from rensei_platform.__main__ import main

def look():
    while not os.path.exists("ready"):
        time.sleep(0.005)
    print(gc.get_threshold() == usual, gc.get_freeze_count() > 50_000)
    os.kill(os.getpid(), signal.SIGTERM)

def tell(phase, info):
    if info["generation"] == 2 and not gc.get_freeze_count():
        print("looked through everything")

gc.callbacks.append(tell)
threading.Thread(target=look).start()
main()
"""


@pytest.mark.slow
def test_a_server_never_looks_through_what_it_has_imported(tmp_path: Path) -> None:
    """Neither as it starts nor later; once it serves it collects garbage as usual."""
    url = sqlite_url(tmp_path)
    founded().copy_to(url, key_file_of(tmp_path))
    serve = ["serve", "--port=0", "--ready-file=ready", "--database", str(url)]
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, *serve],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    lines = [line for line in said.stdout.splitlines() if not line.startswith("{")]
    assert lines == ["True True"]
