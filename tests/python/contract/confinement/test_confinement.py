"""What a confined process can't do, tried for real: each layer by itself, and all of them together."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlbc.adapters.scoring import ConfinedScorer

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have none of these layers"),
]

LAYERS = {
    "namespace": "assert c.leave_network()",
    "landlock": "c.gain_nothing(); assert c.deny_writes_and_tcp() == (True, True)",
    "seccomp": "c.gain_nothing(); assert c.deny_sockets_and_children()",
    "all": "held = c.confine(); assert set(held.network) == {'namespace', 'landlock', 'seccomp'}, held",
}
ATTEMPTS = {
    "connect": "import socket; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)",
    "listen": "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()",
    "unix": "import socket; socket.socket(socket.AF_UNIX).connect(sys.argv[2])",
    "write": "open(sys.argv[3], 'w').write('x')",
    "remove": "import os; os.unlink(sys.argv[2])",
    "fork": "import os; os.fork()",
    "program": "import subprocess; subprocess.run(['true'], check=True)",
    "thread": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "read": "open(sys.executable, 'rb').read(1)",
}
REFUSED = {
    "namespace": {"connect"},
    "landlock": {"connect", "listen", "write", "remove"},
    "seccomp": {"connect", "listen", "unix", "fork", "program"},
    "all": {"connect", "listen", "unix", "write", "remove", "fork", "program"},
}
"""Of what is tried; in a namespace a loopback that is down can still be listened on, by nobody."""


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of somebody who takes connections on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[Path]:
    """A socket in the file system, as of a container daemon."""
    place = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        yield place


def attempt(layer: str, what: str, *words: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own, after the layer is on."""
    code = (
        f"import sys; from dlbc.adapters import confinement as c\n{LAYERS[layer]}\nprint('confined', flush=True)\n"
        f"try:\n    exec({ATTEMPTS[what]!r})\nexcept OSError as error:\n    sys.exit(f'refused: {{error}}')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("what", ATTEMPTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_layer__whatever_is_tried__is_refused_or_not(
    layer: str, what: str, listening: int, unix: Path, tmp_path: Path
) -> None:
    """Each layer keeps what it promises, and leaves alone what parsing and scoring need."""
    written = tmp_path / "written"

    done = attempt(layer, what, listening, unix, written)

    assert "confined" in done.stdout, done.stderr
    if what in REFUSED[layer]:
        assert "refused: " in done.stderr, (done.stdout, done.stderr)
        assert done.returncode != 0
    else:
        assert done.returncode == 0, done.stderr
    assert written.exists() == (what == "write" and what not in REFUSED[layer])
    assert unix.exists() == (what != "remove" or what in REFUSED[layer])


def test_attempts__without_any_layer__all_succeed(listening: int, unix: Path, tmp_path: Path) -> None:
    """Else the refusals above would prove nothing."""
    for what in ATTEMPTS:
        code = f"import sys\nexec({ATTEMPTS[what]!r})"
        words = [sys.executable, "-c", code, str(listening), str(unix), str(tmp_path / "written")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (what, done.stderr)


def test_scoring_process__on_this_kernel__is_confined() -> None:
    """What `dlbc doctor` tells."""
    held = ConfinedScorer(stays=False).confinement()
    assert held.network
    assert held.has_no_writes
    assert held.has_no_children


def test_limit_processor__runs_for_ever__is_ended_by_the_kernel() -> None:
    """Whoever waits for it is told; the limit can be moved for the next request."""
    limits = "c.limit_processor(100); c.limit_processor(1)"
    code = f"from dlbc.adapters import confinement as c; {limits}\nwhile True:\n    pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == -24
