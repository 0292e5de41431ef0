"""The local network as a whole: up, down, half dead, wiped, and its clock."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dlbc.adapters import keys
from dlbc.adapters.devnet import anvil, network
from dlbc.adapters.devnet.network import ACCOUNTS, LocalNetwork, Network
from dlbc.adapters.devnet.process import wait_until
from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.cli.main import run
from dlbc.config import read_config
from dlbc.core.errors import BadInput, Refused, TryLater
from sockets import family, listening

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One network for the tests that only look."""
    with LocalNetwork(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home, whose network is stopped in the end."""
    yield tmp_path
    network.down(tmp_path)


def up(home: Path, *, fresh: bool = False) -> Network:
    return network.up(home, fresh=fresh, dies_with_parent=True)


def block(running: Network, number: str = "latest") -> dict[str, str]:
    return dict(anvil.rpc(running.rpc_url, "eth_getBlockByNumber", number, False))


# ------------------------------------------------------------------ what it leaves for the other commands


def test_up__a_new_home__everything_answers(shared: Network) -> None:
    """Chain, IPFS node and the contracts."""
    status = network.status(shared.home)

    assert status.is_up
    assert (status.chain_is_running, status.ipfs_is_running) == (True, True)
    assert status.peers == 0
    assert status.network == shared


def test_up__the_file_it_writes__is_found_and_understood(shared: Network, tmp_path: Path) -> None:
    """Commands that are only told the home folder find chain, node, contracts and password."""
    config = read_config({}, {"DLBC_HOME": str(shared.home)}, tmp_path, tmp_path)

    assert config == shared.config()
    assert config.market == shared.market
    assert config.deployment_block == shared.deployment_block
    assert config.password_file == shared.password_file


def test_up__the_accounts__are_anvils_and_can_be_opened(shared: Network) -> None:
    """Keystores with ether; the password lies beside them, for their owner only."""
    assert stat.S_IMODE(shared.password_file.stat().st_mode) == 0o600
    for name in ACCOUNTS:
        address = shared.keys(name).address
        assert int(anvil.rpc(shared.rpc_url, "eth_getBalance", address, "latest"), 16) > 9_000 * 10**18
    assert shared.keys("deployer").address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert len({shared.keys(name).address for name in ACCOUNTS}) == len(ACCOUNTS)


def test_up__the_market__pays_its_fees_to_its_pool(shared: Network) -> None:
    """The parameters of chain 31337, read back from the contracts."""
    from dlbc.adapters.chain.web3_chain import Web3Chain
    from dlbc.adapters.chain.web3_pool import Web3Pool

    chain = Web3Chain(shared.rpc_url, shared.config().require_market(), shared.lens)

    assert chain.chain_id == anvil.CHAIN_ID
    assert chain.params().pool == shared.pool == Web3Pool(chain).address
    assert chain.registry == shared.registry


def test_up__its_contracts__can_be_verified(shared: Network) -> None:
    """The record that `dlbc deploy --verify` looks for is there and names these contracts."""
    from dlbc.adapters.chain import record
    from dlbc.adapters.chain.verify import NAMES

    found = record.read(record.record_file(anvil.CHAIN_ID, shared.home), NAMES)

    assert (found.market, found.registry, found.pool, found.lens, found.block_number) == (
        *(shared.market, shared.registry, shared.pool, shared.lens),
        shared.deployment_block,
    )


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux' /proc")
def test_up__all_its_sockets__are_on_loopback_tcp(shared: Network) -> None:
    """Accounts whose keys everybody knows must not be reachable from outside."""
    assert shared.chain is not None
    assert shared.ipfs is not None

    found = listening(family(shared.chain.pid) | family(shared.ipfs.pid))

    assert len(found) == 3  # RPC, IPFS API, swarm
    assert all(address.startswith("tcp 0100007F:") for address in found), found


# ------------------------------------------------------------------ time


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_up__a_web_page_asks_the_chain__gets_nothing_it_may_use(shared: Network, kind: str) -> None:
    """No page of another origin may read an answer or send JSON, and what a form can send is not understood."""
    parts = urlsplit(shared.rpc_url)
    body = '{"jsonrpc":"2.0","id":1,"method":"eth_accounts","params":[]}'
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            connection.request(method, "/", body, headers | {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.getheader("Access-Control-Allow-Origin") is None
        if kind == "text/plain":
            assert b"result" not in text


def test_advance_time__by_seconds__the_chain_goes_on_from_there(shared: Network) -> None:
    """A block at least so much later, and no later block goes back."""
    before = int(block(shared)["timestamp"], 16)

    assert shared.advance_time(seconds=5_000) >= before + 5_000

    number = int(block(shared)["number"], 16)
    assert wait_until(lambda: int(block(shared)["number"], 16) > number + 1, 10)
    assert int(block(shared)["timestamp"], 16) >= before + 5_000


def test_advance_time__to_a_moment__reaches_it_and_never_goes_back(shared: Network) -> None:
    """A moment that has passed costs a block and changes nothing else."""
    target = int(block(shared)["timestamp"], 16) + 1_234

    reached = shared.advance_time(to=target)

    assert target <= reached <= target + 2
    assert reached <= shared.advance_time(to=target - 500) <= reached + 5


def test_advance_time__while_blocks_come__never_fails(shared: Network) -> None:
    """The node mines by itself each second; the call and its blocks do not get in each other's way."""
    start = int(block(shared)["timestamp"], 16)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shared.advance_time(seconds=3), range(40)))

    assert int(block(shared)["timestamp"], 16) > start


# ------------------------------------------------------------------ again and again


def test_up__while_it_runs__changes_nothing(shared: Network) -> None:
    """Idempotent: the same processes, the same contracts."""
    assert network.up(shared.home) == shared


def test_up__after_down__chain_files_and_clock_are_as_before(home: Path) -> None:
    """State survives: blocks, contracts, balances, a clock that was moved, pinned files, ports."""
    first = up(home)
    locator = IpfsStorage(first.ipfs_api).add(b"kept")
    later = first.advance_time(seconds=100_000)
    anvil.rpc(first.rpc_url, "anvil_setBalance", first.keys("auditor").address, "0x5")
    number = int(block(first)["number"], 16)

    assert network.down(home) == ["ipfs", "chain"]
    assert network.down(home) == []
    status = network.status(home)
    assert (status.is_up, status.chain_is_running, status.block, status.ipfs_version) == (False, False, None, None)

    again = up(home)

    assert (again.rpc_url, again.ipfs_api) == (first.rpc_url, first.ipfs_api)
    assert (again.market, again.deployment_block) == (first.market, first.deployment_block)
    assert int(block(again)["number"], 16) >= number
    times = [int(block(again, hex(n))["timestamp"], 16) for n in range(int(block(again)["number"], 16) + 1)]
    assert times == sorted(times)
    assert times[-1] >= later
    assert anvil.rpc(again.rpc_url, "eth_getBalance", again.keys("auditor").address, "latest") == "0x5"
    assert IpfsStorage(again.ipfs_api).fetch(locator, max_bytes=4) == b"kept"
    assert IpfsStorage(again.ipfs_api).is_pinned(locator)


def saved_time(home: Path) -> int:
    """Of the saved state; 0 while the chain is writing it."""
    try:
        return anvil.saved_time(home / "devnet")
    except Refused:
        return 0


@pytest.mark.parametrize("victim", ["chain", "ipfs"])
def test_up__one_process_was_killed__only_that_one_is_new(home: Path, victim: str) -> None:
    """Half dead is repaired on the same ports, with the contracts where they were."""
    first = up(home)
    processes = {"chain": first.chain, "ipfs": first.ipfs}
    process = processes[victim]
    assert process is not None
    deployed = int(block(first)["timestamp"], 16)  # an earlier state has not all the contracts
    assert wait_until(lambda: saved_time(home) >= deployed, 20)
    os.kill(process.pid, 9)
    assert wait_until(lambda: not process.is_running, 10)
    assert not network.status(home).is_up

    again = up(home)

    assert network.status(home).is_up
    assert (again.rpc_url, again.ipfs_api, again.market) == (first.rpc_url, first.ipfs_api, first.market)
    assert (again.chain == first.chain) == (victim != "chain")
    assert (again.ipfs == first.ipfs) == (victim != "ipfs")


def test_up__the_ids_belong_to_others_now__nobody_is_harmed(home: Path) -> None:
    """After a reboot ids are given out again; start times tell."""
    first = up(home)
    network.down(home)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        assert first.chain is not None
        network._save(dataclasses.replace(first, chain=dataclasses.replace(first.chain, pid=stranger.pid)))

        assert network.down(home) == []
        up(home)

        assert stranger.poll() is None
        stranger.kill()


def test_up__fresh__a_new_chain_without_old_notes_but_the_same_keys(home: Path) -> None:
    """What the well-known accounts noted of a chain that is gone would mislead them; other accounts' notes stay."""
    first = up(home)
    locator = IpfsStorage(first.ipfs_api).add(b"gone")
    first.advance_time(seconds=100_000)
    ours, others = home / f"miner-{first.keys('miner1').address}", home / "miner-0xother"
    for folder in (ours, others):
        folder.mkdir()
        (folder / "journal.sqlite").touch()
    password = first.password_file.read_text()

    again = up(home, fresh=True)

    assert again.password_file.read_text() == password
    assert int(block(again)["timestamp"], 16) < time.time() + 10
    assert not IpfsStorage(again.ipfs_api).is_pinned(locator)
    assert not ours.exists()
    assert (others / "journal.sqlite").exists()


def test_up__the_chains_state_is_gone__the_contracts_are_deployed_again(home: Path) -> None:
    """An address without code is no market."""
    up(home)
    network.down(home)
    anvil.state_file(home / "devnet").unlink()

    up(home)

    assert network.status(home).has_contracts


def test_up__a_port_that_was_ours_is_taken__moves_on_and_says_so_in_the_file(home: Path) -> None:
    """The file the other commands read follows."""
    import socket

    first = up(home)
    network.down(home)
    assert first.chain is not None
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just over are no hindrance
        taken.bind(("127.0.0.1", first.chain.port))
        taken.listen()

        again = up(home)

    assert again.rpc_url != first.rpc_url
    assert again.rpc_url in again.config_file.read_text()


def test_up__a_port_that_was_asked_for_is_taken__is_refused(home: Path, shared: Network) -> None:
    """Asked for means asked for."""
    assert shared.chain is not None

    with pytest.raises(Refused, match=f"port {shared.chain.port} of 127.0.0.1 is in use"):
        network.up(home, rpc_port=shared.chain.port)


# ------------------------------------------------------------------ bad surroundings


def test_up__somebodys_own_configuration__is_left_alone(home: Path) -> None:
    """A home that is used with a public chain is not turned into a playground."""
    (home / "dlbc.toml").write_text('rpc_url = "https://chain.example"\n')

    with pytest.raises(Refused, match="was written by somebody else and is left alone"):
        up(home)
    assert (home / "dlbc.toml").read_text() == 'rpc_url = "https://chain.example"\n'


def test_up__an_account_of_that_name_under_another_password__says_which_files(home: Path) -> None:
    """Keys are never overwritten, also not well-known ones."""
    keys.create_keystore("requester", home, "another", quick=True)

    with pytest.raises(Refused, match=r"has accounts of a local network .*requester\.json"):
        up(home)


def test_up__no_anvil__one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing was started."""
    monkeypatch.setattr(anvil, "__file__", "/a/b/c/d/e/anvil.py")
    monkeypatch.chdir(home)

    with pytest.raises(Refused, match="the local chain needs Anvil"):
        network.up(home, environment={"PATH": ""})
    assert not network.status(home).chain_is_running


def test_up__an_anvil_that_ends_at_once__shows_its_last_words(home: Path) -> None:
    """The sentence names the log."""
    broken = home / "broken"
    broken.write_text("#!/bin/sh\necho cannot load >&2\nexit 3\n")
    broken.chmod(0o755)

    with pytest.raises(Refused, match=r"chain process .* did not start: cannot load \(see .*chain\.log\)"):
        network.up(home, environment={"DLBC_ANVIL": str(broken)})


def test_up__the_chains_state_is_damaged__says_how_to_start_over(home: Path) -> None:
    """A torn file is neither loaded nor silently thrown away."""
    up(home)
    network.down(home)
    anvil.state_file(home / "devnet").write_text('{"block"')

    with pytest.raises(Refused, match=r"dlbc devnet up --fresh"):
        up(home)
    assert network.status(up(home, fresh=True).home).is_up


@pytest.mark.parametrize("text", ["", "[]", '{"chain": 5}', '{"chain": null, "ipfs": null, "unknown": 1}'])
def test_any_command__a_damaged_memory__is_bad_input(tmp_path: Path, text: str) -> None:
    """Without it nobody knows which processes are ours; so nothing is guessed."""
    (tmp_path / "devnet").mkdir()
    (tmp_path / "devnet/network.json").write_text(text)

    with pytest.raises(BadInput, match=r"network\.json is damaged"):
        network.status(tmp_path)


def test_up__twice_at_once__one_waits_its_turn(home: Path) -> None:
    """The second is told to try again, instead of starting a second chain."""
    with network._alone(home), pytest.raises(TryLater, match="another command is starting or stopping"):
        up(home)


def test_local_network__its_process_is_killed__nothing_is_left(tmp_path: Path) -> None:
    """A test run that is killed leaves no processes behind."""
    code = "import sys, pathlib; from dlbc.adapters.devnet.network import LocalNetwork\n"
    code += "with LocalNetwork(pathlib.Path(sys.argv[1])): print('up', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        running = network._load(tmp_path)
        owner.kill()

    assert running.chain is not None
    assert running.ipfs is not None
    assert wait_until(lambda: not (running.chain.is_running or running.ipfs.is_running), 20)


def test_local_network__it_can_not_start__stops_what_did(tmp_path: Path) -> None:
    """A chain without its IPFS node is no network."""
    (tmp_path / "devnet").mkdir()
    (tmp_path / "devnet/ipfs").write_text("a file where the repository should be")

    with pytest.raises(Refused, match="ipfs process of the local network did not start"), LocalNetwork(tmp_path):
        pass
    assert not network.status(tmp_path).chain_is_running


# ------------------------------------------------------------------ the command


def test_devnet_command__up_status_down__tells_programs_everything(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON on stdout, progress on stderr, exit 0."""
    from dlbc.cli.main import run

    monkeypatch.setenv("DLBC_HOME", str(home))
    monkeypatch.chdir(home)

    assert run(["devnet", "up", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["up"]
    assert [process["name"] for process in told["processes"]] == ["chain", "ipfs"]
    assert "starting the local network: 100 %" in err

    assert run(["devnet", "status"]) == 0
    text = capsys.readouterr().out
    assert told["market"] in text
    assert all(len(line) <= 80 for line in text.splitlines() if str(home) not in line)

    assert run(["wallet", "balance", "requester", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["balanceWei"] == 10_000 * 10**18

    assert run(["wallet", "withdraw", "requester"]) == 1
    assert "has no credit" in capsys.readouterr().err

    assert run(["devnet", "down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": ["ipfs", "chain"]}

    assert run(["devnet", "status", "--json"]) == 0
    assert not json.loads(capsys.readouterr().out)["up"]


def test_skip__a_running_chain__is_that_much_later(shared: Network, capsys: pytest.CaptureFixture[str]) -> None:
    """The command moves the clock of the home's own chain, and of no other."""
    before = int(block(shared)["timestamp"], 16)

    assert run(["--home", str(shared.home), "devnet", "skip", "2h", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert before + 7200 <= told["blockTime"] == int(block(shared)["timestamp"], 16)


def test_skip__no_chain_or_no_duration__one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started for it."""
    assert run(["--home", str(tmp_path), "devnet", "skip", "2h"]) == 2
    assert "start one with `dlbc devnet up`" in capsys.readouterr().err
    assert run(["--home", str(tmp_path), "devnet", "skip", "soon"]) == 2
    assert "expected a duration" in capsys.readouterr().err
