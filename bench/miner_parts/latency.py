"""From the release of a test set to the signed reveal: a real miner and a real requester on a local network."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from dlbc import bootstrap
from dlbc.adapters.devnet.network import LocalNetwork, Network
from dlbc.core.types import TaskId

from miner_parts.processes import Command
from miner_parts.proxy import CountingProxy

STEP_SECONDS = 180.0
LIMIT_SECONDS = 2.0
SEND = "eth_sendRawTransaction"
EVENT_SECONDS = 0.001
"""How exactly events tell their time."""


def measure(folder: Path, tasks: int) -> dict[str, Any]:
    """Tasks one after the other, digits and a small mlp, while one miner runs.

    release: the node has taken the requester's transaction. sent: the miner's reveal reaches the node. Both are the
    times of a proxy before each. scoring: from the miner's question for the released key to its event claim_built,
    which is fetching and decrypting the test set, loading the model, predicting, hashing and signing.
    """
    rows = []
    with (
        LocalNetwork(folder / "home", fresh=True) as network,
        CountingProxy(network.rpc_url) as before_miner,
        Command(
            network, folder / "logs", "miner1", "miner", "run", "--device", "cpu", rpc_url=before_miner.url
        ) as miner,
    ):
        for number in range(tasks):
            file = task_file(network, folder, f"latency-{number}")
            with Command(network, folder / "logs", "requester", "task", "post", str(file), "--yes", "--json") as post:
                task_id = TaskId(post.wait(STEP_SECONDS)["taskId"])
            rows.append(one(network, folder, miner, before_miner, task_id))
    waits = [row["without_scoring"] for row in rows]
    return {
        "tasks": rows,
        "release_to_sent_seconds": median(row["release_to_sent"] for row in rows),
        "scoring_seconds": median(row["scoring"] for row in rows),
        "without_scoring_seconds": round(median(waits), 2),
        "worst_without_scoring_seconds": max(waits),
        "limits": {"without_scoring_seconds": LIMIT_SECONDS},
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The limit that is not kept."""
    worst = found["worst_without_scoring_seconds"]
    return [f"latency: {worst} s beside scoring, allowed are {LIMIT_SECONDS} s"] if worst > LIMIT_SECONDS else []


def one(
    network: Network, folder: Path, miner: Command, before_miner: CountingProxy, task_id: TaskId
) -> dict[str, float]:
    """The times of one task, whose clock is moved as soon as the miner has committed."""
    chain = bootstrap.chain(network.config())

    def told(name: str) -> list[dict[str, Any]]:
        return [event for event in miner.events(name) if event["task_id"] == task_id]

    miner.until(lambda: told("model_committed"), f"the commit to task {task_id}", STEP_SECONDS)
    watch = ("task", "watch", str(task_id), "--release")
    with (
        CountingProxy(network.rpc_url) as before_requester,
        Command(network, folder / "logs", "requester", *watch, rpc_url=before_requester.url) as requester,
    ):
        network.advance_time(to=chain.round(task_id, 0).train_end)
        requester.until(lambda: told("claim_revealed"), f"the reveal of task {task_id}", STEP_SECONDS)
        release = next(asked.ended for asked in before_requester.asked if asked.method == SEND)
    built = datetime.fromisoformat(told("claim_built")[0]["time"]).timestamp()
    # The miner has other tasks, too: its last question before the claim and its first transaction after it are ours.
    asked = before_miner.asked
    noticed = max(one.began for one in asked if one.method == "eth_getLogs" and release <= one.began <= built)
    sent = min(one.began for one in asked if one.method == SEND and one.began >= built - EVENT_SECONDS)
    return {
        "release_to_noticed": round(noticed - release, 2),
        "scoring": round(built - noticed, 2),
        "built_to_sent": round(sent - built, 2),
        "release_to_sent": round(sent - release, 2),
        "without_scoring": round(sent - release - (built - noticed), 2),
    }


def task_file(network: Network, folder: Path, name: str) -> Path:
    """A short training and long windows; a name of its own, so that it is a task of its own."""
    file = folder / f"{name}.toml"
    with Command(network, folder / "logs", "requester", "task", "init", str(file)) as init:
        init.wait(STEP_SECONDS)
    windows = dict.fromkeys(("train", "release", "reveal", "open", "challenge"), '"1h"')
    replaced = {"name": f'"{name}"', "epochs": "4", "min_score": "0.3", **windows}
    lines = [
        next((f"{key} = {value}" for key, value in replaced.items() if line.startswith(f"{key} =")), line)
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    return file
