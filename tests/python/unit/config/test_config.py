"""Where a setting comes from, and what is said about one that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dlbc.config import Config, checksum_address, read_config, shown_url
from dlbc.core.errors import Usage

pytestmark = pytest.mark.unit

MARKET = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a working directory and a user's home."""
    for name in ("work", "user"):
        (tmp_path / name).mkdir()
    return tmp_path


def read(place: Path, flags: dict[str, str | None] | None = None, environment: dict[str, str] | None = None) -> Config:
    return read_config(flags or {}, environment or {}, place / "work", place / "user")


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_read_config__nothing_given__defaults(place: Path) -> None:
    """A fresh machine talks to local nodes on their usual ports and keeps its things in ~/.dlbc."""
    assert Config(home=place / "user/.dlbc") == read(place)


def test_read_config__everywhere_given__flag_beats_environment_beats_file(place: Path) -> None:
    """One order of precedence for every setting."""
    write(place / "work/dlbc.toml", 'account = "file"\nrpc_url = "http://file:1"\nipfs_api = "/ip4/127.0.0.1/tcp/1"\n')
    environment = {"DLBC_ACCOUNT": "environment", "DLBC_RPC_URL": "http://environment:2"}

    config = read(place, {"account": "flag", "rpc_url": None}, environment)

    assert (config.account, config.rpc_url, config.ipfs_api) == ("flag", "http://environment:2", "/ip4/127.0.0.1/tcp/1")


def test_read_config__several_files__the_nearest_is_read_alone(place: Path) -> None:
    """--config, DLBC_CONFIG, ./dlbc.toml, home/dlbc.toml: the first that is named or exists, and no other."""
    home = write(place / "user/.dlbc/dlbc.toml", 'account = "home"\ndeployment_block = 7\n')
    assert (home, "home") == (read(place).file, read(place).account)

    here = write(place / "work/dlbc.toml", 'account = "here"\n')
    assert (here, "here", 0) == (read(place).file, read(place).account, read(place).deployment_block)

    write(place / "work/a.toml", 'account = "environment"\n')
    assert read(place, environment={"DLBC_CONFIG": "a.toml"}).account == "environment"

    write(place / "work/b.toml", 'account = "flag"\n')
    assert read(place, {"config": "b.toml"}, {"DLBC_CONFIG": "a.toml"}).account == "flag"


@pytest.mark.parametrize("by", ["another user", "everybody"])
def test_read_config__file_of_somebody_else_in_the_current_folder__is_refused_unless_named(
    place: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write into /tmp must not tell a miner where its earnings go."""
    file = write(place / "work/dlbc.toml", f'payout = "{MARKET}"\npayout_reserve = "1 ether"\n')
    if by == "everybody":
        file.chmod(0o666)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
        if file.stat().st_uid == 0:
            os.chown(file, 12345, -1)
    with pytest.raises(Usage, match="not to be trusted"):
        read(place)
    assert read(place, {"config": "dlbc.toml"}).payout == MARKET
    file.rename(place / "dlbc.toml")
    write(place / "user/.dlbc/dlbc.toml", 'account = "home"\n')
    assert read(place).account == "home"


def test_read_config__home_given__its_file_is_found(place: Path) -> None:
    """--home and DLBC_HOME move keys, journals and the file; a ~ is the user's home."""
    write(place / "user/other/dlbc.toml", f'market = "{MARKET}"\npassword_file = "keys/password"\n')

    config = read(place, environment={"DLBC_HOME": "~/other"})

    assert place / "user/other" == config.home
    assert config.market == MARKET
    assert place / "user/other/keys/password" == config.password_file


def test_read_config__an_owners_worker__has_signer_ceiling_payout_and_relay(place: Path) -> None:
    """Fractions in the file are exact, and a folder in it is relative to it."""
    write(
        place / "work/dlbc.toml",
        f'signer_url = "http://127.0.0.1:8550"\nmax_fee_gwei = 0.1\npayout = "{MARKET}"\n'
        'payout_reserve = "0.5 ether"\nrelay_folder = "relay"\nkeyring = true\n',
    )
    config = read(place)
    assert (config.signer_url, config.max_fee) == ("http://127.0.0.1:8550", 10**8)
    assert (config.payout, config.payout_reserve) == (MARKET, 10**18 // 2)
    assert (config.relay_folder, config.keyring) == (place / "work/relay", True)

    config = read(place, environment={"DLBC_MAX_FEE_GWEI": "30", "DLBC_KEYRING": "no"})
    assert (config.max_fee, config.keyring) == (30 * 10**9, False)


def test_read_config__a_path_in_the_environment__is_relative_to_where_the_command_runs(place: Path) -> None:
    """Only paths inside a file are relative to the file."""
    assert place / "work/secret" == read(place, environment={"DLBC_PASSWORD_FILE": "secret"}).password_file


def test_read_config__an_address_in_small_letters__gets_its_checksum(place: Path) -> None:
    """Addresses leave the configuration in EIP-55 form."""
    assert read(place, environment={"DLBC_MARKET": MARKET.lower()}).market == MARKET


@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_checksum_address__examples_of_eip_55__are_reproduced(address: str) -> None:
    """The test values of https://eips.ethereum.org/EIPS/eip-55."""
    assert address == checksum_address(address.lower())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MARKET", "0x1234", "DLBC_MARKET: expected an address"),
        ("LENS", MARKET.replace("F", "f"), "DLBC_LENS: the checksum of address .* is wrong"),
        ("RPC_URL", "localhost:8545", "DLBC_RPC_URL: expected an RPC address"),
        ("RPC_URL", "ftp://127.0.0.1", "DLBC_RPC_URL: expected an RPC address"),
        ("RPC_URL", "http://[::1", "DLBC_RPC_URL: expected an RPC address"),
        ("RPC_URL", "http://host:99999", "DLBC_RPC_URL: expected an RPC address"),
        ("IPFS_API", "http://127.0.0.1:5001", "DLBC_IPFS_API: expected a multiaddress"),
        ("DEPLOYMENT_BLOCK", "-1", "DLBC_DEPLOYMENT_BLOCK: expected a block number"),
        ("DEPLOYMENT_BLOCK", "1.5", "DLBC_DEPLOYMENT_BLOCK: expected a block number"),
        ("CONFIG", "nowhere.toml", "nowhere.toml does not exist"),
        ("KEYRING", "maybe", "DLBC_KEYRING: expected true or false, found 'maybe'"),
        ("SIGNER_URL", "http://signer.example:8550/a-secret", "DLBC_SIGNER_URL: .* http://signer.example:8550; what"),
        ("SIGNER_URL", "signer", "DLBC_SIGNER_URL: expected an RPC address"),
        ("MAX_FEE_GWEI", "0", "DLBC_MAX_FEE_GWEI: expected a price for one gas in gwei"),
        ("MAX_FEE_GWEI", "many", "DLBC_MAX_FEE_GWEI: expected a price for one gas in gwei"),
        ("PAYOUT", MARKET, "DLBC_PAYOUT: payout_reserve is missing"),
        ("PAYOUT_RESERVE", "1", "DLBC_PAYOUT_RESERVE: expected an amount with its unit"),
        ("PAYOUT_RESERVE", "1 coin", "DLBC_PAYOUT_RESERVE: expected an amount such as"),
    ],
)
def test_read_config__a_wrong_value__is_named_with_its_source(place: Path, name: str, value: str, said: str) -> None:
    """The sentence says which variable, what was expected and what was found."""
    with pytest.raises(Usage, match=said):
        read(place, environment={f"DLBC_{name}": value})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acount = 'typo'", "unknown setting 'acount'; did you mean account\\?"),
        ("gpus = 2", "unknown setting 'gpus'; known are home, rpc_url"),
        ("account = ", "is not valid TOML"),
        ("account = 5", "account in .*dlbc.toml: expected a text, found '5'"),
        ("market = ['0x']", "market in .*dlbc.toml: expected a text"),
        ("chain_id = 'mainnet'", "chain_id in .*: expected a chain id, found 'mainnet'"),
        ("max_fee_gwei = true", "max_fee_gwei in .*: expected a price"),
        ("max_fee_gwei = -1.5", "max_fee_gwei in .*: expected a price"),
        ("keyring = 3", "keyring in .*: expected true or false"),
        ("payout_reserve = 1.5", "payout_reserve in .*: expected an amount with its unit"),
        ("deployment_block = true", "deployment_block in .*: expected a block number, found 'True'"),
        ("# " + "x" * (1 << 20), "a configuration file has at most 1048576"),
    ],
)
def test_read_config__a_wrong_file__is_named_with_the_setting(place: Path, text: str, said: str) -> None:
    """A typo in the file is an error, not a default."""
    write(place / "work/dlbc.toml", text)

    with pytest.raises(Usage, match=said) as caught:
        read(place)
    assert len(str(caught.value)) < 400


def test_read_config__a_misspelt_variable__is_no_default(place: Path) -> None:
    """What is far from every setting may be another program's."""
    with pytest.raises(Usage, match=r"DLBC_RPCURL in the environment is no setting; did you mean DLBC_RPC_URL\?"):
        read(place, environment={"DLBC_RPCURL": "http://127.0.0.1:1"})
    read(place, environment={"DLBC_FAULTS": "file", "DLBC_TORCH_THREADS": "2", "PATH": "/bin"})


def test_read_config__bytes_that_are_no_text__are_refused(place: Path) -> None:
    """A binary file is no configuration."""
    (place / "work/dlbc.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(Usage, match="is not valid TOML"):
        read(place)


def test_read_config__folders_of_somebody_else__are_passed_over_or_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sudo -u dlbc dlbc …` starts in root's folder; a home folder that can't be read is no empty one."""
    locked: list[Path] = [place / "work"]
    is_file = Path.is_file

    def guarded(file: Path) -> bool:
        if file.parent in locked:
            raise PermissionError(13, "Permission denied")
        return is_file(file)

    monkeypatch.setattr(Path, "is_file", guarded)
    home = write(place / "user/.dlbc/dlbc.toml", 'account = "home"\n')
    assert read(place).file == home
    locked.append(home.parent)
    with pytest.raises(Usage, match=r"\.dlbc can't be read \(Permission denied\); run this as its owner"):
        read(place)


def test_require_market__none_configured__says_what_to_do(place: Path) -> None:
    """The first thing a newcomer meets names the command that helps."""
    with pytest.raises(Usage, match="dlbc devnet up"):
        read(place).require_market()


def test_shown_url__with_a_providers_key__leaves_only_the_host() -> None:
    """Keys in user, path or query never reach a screen or a log."""
    assert shown_url("https://me:pass@chain.example:8080/v2/secret?key=secret") == "https://chain.example:8080"


def test_read_config__a_wrong_url_with_a_key__does_not_show_all_of_it(place: Path) -> None:
    """An error message is a log, too."""
    with pytest.raises(Usage) as caught:
        read(place, environment={"DLBC_RPC_URL": "wss://chain.example/v2/a-secret-key"})
    assert "a-secret-key" not in str(caught.value)
