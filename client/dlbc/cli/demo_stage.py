"""Where a demo plays: it starts processes, follows them, waits for what they do, and moves the local chain's clock."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbc.cli.demo_actors import Actor, start_actor
from dlbc.cli.demo_view import View
from dlbc.core.errors import Refused
from dlbc.core.types import PPM, TaskId

if TYPE_CHECKING:
    from dlbc.adapters.devnet.network import Network
    from dlbc.ports import Chain, Pool

MARKER = ".dlbc-demo"
"""A file in every folder that a demo made."""
CHEAT = "dlbc.cli.demo_cheat"
LOOK_SECONDS = 0.2
STEP_SECONDS = 120.0
AUDIT_SECONDS = 300.0


class Stage:
    """One demo's processes. `stack` ends every one that was started, on every way out."""

    def __init__(self, network: Network, chain: Chain, pool: Pool, folder: Path, view: View, stack: ExitStack) -> None:
        self.network, self.chain, self.pool = network, chain, pool
        self.folder, self.view = folder, view
        self.names: dict[str, str] = {}
        """Of accounts, by address: what is shown says who, not where."""
        self._stack = stack
        self._playing: list[Actor] = []
        self._finished: list[Actor] = []

    @property
    def actors(self) -> list[Actor]:
        """Every process that was started, whether or not it still runs."""
        return [*self._playing, *self._finished]

    # ------------------------------------------------------------------ processes

    def start(self, name: str, account: str, *arguments: str, who: str = "", module: str = "dlbc") -> Actor:
        """Starts `dlbc` as one of the network's accounts."""
        environment = {
            "DLBC_HOME": str(self.network.home),
            "DLBC_CONFIG": str(self.network.config_file),
            "DLBC_ACCOUNT": account,
        }
        return self._launch(name, arguments, environment, who, module)

    def start_stranger(self, name: str, *arguments: str, who: str = "") -> Actor:
        """Starts `dlbc` as somebody who has only the RPC and IPFS addresses and the market's."""
        home = self.folder / "auditor"
        home.mkdir(exist_ok=True)
        config = home / "dlbc.toml"
        config.write_text(
            f'rpc_url = "{self.network.rpc_url}"\nipfs_api = "{self.network.ipfs_api}"\n'
            f'market = "{self.chain.market}"\n'
        )
        return self._launch(name, arguments, {"DLBC_HOME": str(home), "DLBC_CONFIG": str(config)}, who, "dlbc")

    def post(self, name: str, file: Path) -> TaskId:
        """Posts a task file as the requester."""
        arguments = ("task", "post", str(file), "--yes", "--json")
        posted = self.finish(self.start(name, "requester", *arguments, who="requester"))
        return TaskId(int(posted.answer()["taskId"]))

    def finish(self, actor: Actor, seconds: float = STEP_SECONDS, codes: Sequence[int] = (0,)) -> Actor:
        """Waits for an actor's end while the others are followed. Raises Refused when it fails or takes too long."""
        actor.is_expected_to_end = True
        deadline = time.monotonic() + seconds
        while actor.process.poll() is None and time.monotonic() < deadline:
            for other in self._playing:
                self.follow(other)
            time.sleep(LOOK_SECONDS / 4)
        actor.wait(0.1, codes=codes)
        self.follow(actor)
        self._leave(actor)
        return actor

    def kill(self, actor: Actor) -> None:
        """What a power cut does to it."""
        actor.kill()
        self.follow(actor)
        self._leave(actor)

    def end_all(self) -> None:
        """Ends everybody who is still there."""
        for actor in list(self._playing):
            actor.end()
            self.follow(actor)

    # ------------------------------------------------------------------ what happens, and when

    def until(self, condition: Callable[[], bool], what: str, seconds: float = STEP_SECONDS) -> None:
        """Follows everybody until the condition holds. Raises Refused when it does not, or when an actor fails."""
        deadline = time.monotonic() + seconds
        while not condition():
            for actor in self._playing:
                self.follow(actor)
                actor.check_alive()
            if time.monotonic() > deadline:
                raise Refused(f"{what} did not come within {seconds:.0f} s; the logs are in {self.folder / 'logs'}")
            time.sleep(LOOK_SECONDS)
        for actor in self._playing:
            self.follow(actor)

    def follow(self, actor: Actor) -> None:
        """Shows what an actor logged since the last look."""
        for event in actor.read_events():
            self.view.event(actor.who, {key: self._named(value) for key, value in event.items()})

    def move_to(self, moment: int) -> None:
        """Moves the chain's clock; a moment that has passed is left alone."""
        self.network.advance_time(to=moment)

    # ------------------------------------------------------------------ inside

    def _named(self, value: Any) -> Any:
        if isinstance(value, str):
            for address, name in self.names.items():
                value = value.replace(address, name)
        return value

    def _launch(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], who: str, module: str
    ) -> Actor:
        settings = {"DLBC_TORCH_THREADS": str(max(1, (os.cpu_count() or 2) // 2)), **environment}
        actor = start_actor(name, arguments, settings, self.folder / "logs", who=who, module=module)
        self._stack.callback(actor.end)
        self._playing.append(actor)
        return actor

    def _leave(self, actor: Actor) -> None:
        self._playing.remove(actor)
        self._finished.append(actor)


def failing(report: Mapping[str, Any]) -> list[str]:
    """Names of the checks that an audit's report says do not hold."""
    return [check["name"] for check in report["checks"] if not check["ok"]]


def task_row(chain: Chain, task_id: TaskId, report: Mapping[str, Any]) -> dict[str, Any]:
    """A settled task as the demo's summaries list it."""
    facts, winner = chain.round(task_id, 0), chain.winner(task_id, 0)
    return {
        "taskId": task_id,
        "phase": chain.phase(task_id).phase.label,
        "winner": winner.miner,
        "total": winner.total,
        "samples": facts.samples,
        "scorePpm": winner.total * PPM // (facts.samples * facts.max_sample_score),
        "difficulty": chain.task(task_id).difficulty,
        "audit": report["audit"],
    }


def with_long_windows(text: str, **others: str) -> str:
    """A task file whose windows are long enough for any machine; the clock is moved. `others`: by the window's name."""
    windows = dict.fromkeys(("train", "release", "reveal", "open", "challenge"), "3h") | others
    for name, length in windows.items():
        text = re.sub(rf"(?m)^{name} = .*", f'{name} = "{length}"', text)
    return text
