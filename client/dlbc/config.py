"""Settings: one frozen object, made once. Flag beats environment beats file beats default.

`read_config` is given the environment and the flags; nothing here reads a global.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from dlbc.core.errors import BadInput, Usage
from dlbc.core.types import Address, Wei
from dlbc.core.units import parse_amount

DEFAULT_HOME = "~/.dlbc"
DEFAULT_RPC_URL = "http://127.0.0.1:8545"
DEFAULT_IPFS_API = "/ip4/127.0.0.1/tcp/5001/http"
FILE_NAME = "dlbc.toml"
SETTINGS = (
    *("home", "rpc_url", "ipfs_api", "market", "lens", "chain_id", "deployment_block", "account", "password_file"),
    *("keyring", "signer_url", "max_fee_gwei", "payout", "payout_reserve", "relay_folder"),
    *("metrics_port", "disk_quota_gb"),
    *("notify_url", "notify_secret_file", "notify_command", "models_folder"),
)
"""Keys of the file; the flag has the same name, the environment variable is DLBC_ and the name in capitals."""

_PREFIX = "DLBC_"
_OTHER_VARIABLES = ("DLBC_CONFIG", "DLBC_TORCH_THREADS", "DLBC_ANVIL")

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

NOTHING = Wei(0)

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_MULTIADDR = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/[^/\s]+/tcp/\d{1,5}(/https?)?")
_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a command needs to know about where it runs."""

    home: Path
    rpc_url: str = DEFAULT_RPC_URL
    ipfs_api: str = DEFAULT_IPFS_API
    market: Address | None = None
    lens: Address | None = None
    chain_id: int | None = None  # None: whatever the endpoint says
    deployment_block: int = 0
    account: str | None = None  # name of a keystore in home/keys, or a path
    password_file: Path | None = None
    metrics_port: int = 0  # of the loopback, for the metrics of a daemon; 0: none
    disk_quota_gb: int = 0  # what a miner keeps in files and pins, in 10^9 bytes; 0: no limit
    keyring: bool = False  # whether the system's keyring holds the keystore's password
    signer_url: str | None = None  # a program that holds the key instead of a keystore
    max_fee: Wei | None = None  # most for one gas; None: whatever the chain asks
    payout: Address | None = None  # where withdrawals go; None: to the account itself
    payout_reserve: Wei = NOTHING  # what the account keeps of them for gas and deposits
    relay_folder: Path | None = None  # where signed reveals are left for keepers
    notify_url: str | None = None  # where a requester's notices are posted; its path may be a secret
    notify_secret_file: Path | None = None  # what they are signed with
    notify_command: str | None = None  # a program that gets them
    models_folder: Path | None = None  # where a requester keeps the models it paid for; None: in the home folder
    file: Path | None = None  # the file that was read, if any

    @property
    def shown_rpc_url(self) -> str:
        """The RPC URL without user, password, path and query: providers put their secret keys there."""
        return shown_url(self.rpc_url)

    def require_market(self) -> Address:
        """Raises Usage when no market is configured."""
        if self.market is None:
            raise Usage(
                "no market address is configured: start a local network with `dlbc devnet up`, or set market in"
                f" {FILE_NAME} (or DLBC_MARKET) to the TaskMarket of your chain"
            )
        return self.market


def read_config(
    flags: Mapping[str, str | None], environment: Mapping[str, str], directory: Path, user_home: Path
) -> Config:
    """Finds the file, merges and checks. `flags` may hold "config" and any name in SETTINGS.

    Raises Usage naming the setting, where it came from, what was expected and what was found.
    """
    _check_variables(environment)
    given = {name: value for name, value in flags.items() if value is not None}
    home = Path(given.get("home") or environment.get("DLBC_HOME") or DEFAULT_HOME)
    home = _expanded(home, directory, user_home)
    file = _find_file(given.get("config") or environment.get("DLBC_CONFIG"), directory, user_home, home)
    values: dict[str, tuple[object, str, Path]] = {}
    if file is not None:
        for name, value in _read_file(file).items():
            values[name] = (value, f"{name} in {file}", file.parent)
    for name in SETTINGS:
        variable = _PREFIX + name.upper()
        if environment.get(variable):
            values[name] = (environment[variable], variable, directory)
        if name in given:
            values[name] = (given[name], "--" + name.replace("_", "-"), directory)

    def text(name: str, default: str) -> str:
        value, source, _ = values.get(name, (default, name, directory))
        if not isinstance(value, str) or not value:
            raise Usage(f"{source}: expected a text, found {str(value)[:60]!r}")
        return value

    def path(name: str) -> Path | None:
        if name not in values:
            return None
        return _expanded(Path(text(name, "")), values[name][2], user_home)

    def source(name: str) -> str:
        return values[name][1] if name in values else name

    if "payout" in values and "payout_reserve" not in values:
        raise Usage(
            f"{source('payout')}: payout_reserve is missing; set it to what the account keeps for gas and deposits, "
            'such as "0.5 ether"'
        )
    return Config(
        home=path("home") or home,
        rpc_url=_checked_url(text("rpc_url", DEFAULT_RPC_URL), source("rpc_url")),
        ipfs_api=_checked_multiaddr(text("ipfs_api", DEFAULT_IPFS_API), source("ipfs_api")),
        market=checked_address(text("market", ""), source("market")) if "market" in values else None,
        lens=checked_address(text("lens", ""), source("lens")) if "lens" in values else None,
        chain_id=_checked_number(values["chain_id"], "a chain id") if "chain_id" in values else None,
        deployment_block=(
            _checked_number(values["deployment_block"], "a block number") if "deployment_block" in values else 0
        ),
        account=text("account", "") if "account" in values else None,
        password_file=path("password_file"),
        metrics_port=_checked_number(values["metrics_port"], "a port", 65_535) if "metrics_port" in values else 0,
        disk_quota_gb=(
            _checked_number(values["disk_quota_gb"], "a whole number of gigabytes") if "disk_quota_gb" in values else 0
        ),
        keyring=_checked_switch(values["keyring"]) if "keyring" in values else False,
        signer_url=_checked_signer(text("signer_url", ""), source("signer_url")) if "signer_url" in values else None,
        max_fee=_checked_fee(values["max_fee_gwei"]) if "max_fee_gwei" in values else None,
        payout=checked_address(text("payout", ""), source("payout")) if "payout" in values else None,
        payout_reserve=_checked_amount(values["payout_reserve"]) if "payout_reserve" in values else NOTHING,
        relay_folder=path("relay_folder"),
        notify_url=checked_webhook(text("notify_url", ""), source("notify_url")) if "notify_url" in values else None,
        notify_secret_file=path("notify_secret_file"),
        notify_command=text("notify_command", "") if "notify_command" in values else None,
        models_folder=path("models_folder"),
        file=file,
    )


def shown_url(url: str) -> str:
    """Scheme, host and port only."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def checked_address(value: str, source: str) -> Address:
    """EIP-55 form; a mixed-case address with a wrong checksum is refused. Raises Usage naming the source."""
    if not _ADDRESS.fullmatch(value):
        raise Usage(f"{source}: expected an address (0x and 40 hex digits), found {value[:80]!r}")
    checked = checksum_address(value)
    if value not in (checked, checked.lower(), "0x" + checked[2:].upper()):
        raise Usage(f"{source}: the checksum of address {value} is wrong; was it mistyped?")
    return checked


def checksum_address(address: str) -> Address:
    """The EIP-55 form of 0x and 40 hex digits."""
    from dlbc.core.hashing import keccak

    digits = address[2:].lower()
    digest = keccak(digits.encode()).hex()
    return Address("0x" + "".join(d.upper() if int(h, 16) > 7 else d for d, h in zip(digits, digest, strict=False)))


def _check_variables(environment: Mapping[str, str]) -> None:
    """A variable that is nearly a setting is a typo; what else starts with DLBC_ may be another program's."""
    known = [*(_PREFIX + name.upper() for name in SETTINGS), *_OTHER_VARIABLES]
    for variable in environment:
        if variable.startswith(_PREFIX) and variable not in known:
            near = get_close_matches(variable, known, 1, cutoff=0.85)
            if near:
                raise Usage(f"{variable} in the environment is no setting; did you mean {near[0]}?")


def _find_file(named: str | None, directory: Path, user_home: Path, home: Path) -> Path | None:
    if named:
        file = _expanded(Path(named), directory, user_home)
        if not file.is_file():
            raise Usage(f"configuration file {file} does not exist")
        return file
    for file in (directory / FILE_NAME, home / FILE_NAME):
        try:
            if file.is_file():
                if file.parent != home:
                    _check_owner(file)
                return file
        except OSError as error:  # somebody else's folder, such as root's after `sudo -u dlbc`
            if file.parent == home:
                raise Usage(
                    f"the home folder {home} can't be read ({error.strerror}); run this as its owner, or name another "
                    "one with --home"
                ) from error
    return None


def _check_owner(file: Path) -> None:
    """Whoever wrote the file says where earnings go and who signs: in a shared folder that may be anybody.

    Raises Usage unless it is ours or root's, and nobody else may write to it.
    """
    found = file.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & stat.S_IWOTH:
        whose = "everybody may write to it" if found.st_mode & stat.S_IWOTH else f"it belongs to user {found.st_uid}"
        raise Usage(
            f"{file} lies in the current folder and is not to be trusted: {whose}; run this elsewhere, or, if the file "
            f"is meant, name it with --config"
        )


def _read_file(file: Path) -> dict[str, object]:
    try:
        data = file.read_bytes()
        if len(data) > _MAX_FILE_BYTES:
            raise Usage(f"{file} has {len(data)} bytes; a configuration file has at most {_MAX_FILE_BYTES}")
        content = tomllib.loads(data.decode(), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise Usage(f"{file} can't be read: {error.strerror}") from error
    for name in content:
        if name not in SETTINGS:
            near = get_close_matches(name, SETTINGS, 1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(SETTINGS)}"
            raise Usage(f"{file}: unknown setting {name!r}; {meant}")
    return content


def _expanded(path: Path, base: Path, user_home: Path) -> Path:
    if path.parts[:1] == ("~",):
        return user_home.joinpath(*path.parts[1:])
    return base / path


def _checked_url(value: str, source: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise Usage(f"{source}: expected an RPC address such as {DEFAULT_RPC_URL}, found {value[:20]!r}")
    return value


def checked_webhook(value: str, source: str) -> str:
    """An http(s) URL without a user and password. Raises Usage, and shows nothing of what may be a secret in it."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        valid = valid and value.isascii() and value.isprintable() and " " not in value
    except ValueError:
        valid = False
    if not valid:
        found = repr(value) if len(value) <= 8 else f"{value[:8]!r}…"
        raise Usage(f"{source}: expected an http(s) URL such as https://hooks.example.org/dlbc, found {found}")
    if parts.username is not None or parts.password is not None:
        raise Usage(f"{source}: a URL with a user in it is not taken; sign with notify_secret_file instead")
    return value


def _checked_signer(value: str, source: str) -> str:
    """Its answers are key material: whoever reads them on the way has the miner's secrets."""
    parts = urlsplit(_checked_url(value, source))
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Usage(
            f"{source}: expected a signer on this machine or behind https, found {shown_url(value)}; what it signs "
            "must not be readable on the way"
        )
    return value


def _checked_multiaddr(value: str, source: str) -> str:
    if not _MULTIADDR.fullmatch(value):
        raise Usage(f"{source}: expected a multiaddress such as {DEFAULT_IPFS_API}, found {value[:80]!r}")
    return value


def _checked_number(setting: tuple[object, str, Path], expected: str, highest: int = 10**18) -> int:
    value, source, _ = setting
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise Usage(f"{source}: expected {expected}, found {str(value)[:60]!r}")
    return value


def _checked_switch(setting: tuple[object, str, Path]) -> bool:
    value, source, _ = setting
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise Usage(f"{source}: expected true or false, found {str(value)[:60]!r}")


def _checked_amount(setting: tuple[object, str, Path]) -> Wei:
    value, source, _ = setting
    if isinstance(value, str) and " " in value.strip():  # a number alone may be meant in ether
        try:
            return parse_amount(value, source)
        except BadInput as error:
            raise Usage(str(error)) from None
    raise Usage(f'{source}: expected an amount with its unit such as "0.5 ether", found {str(value)[:40]!r}')


def _checked_fee(setting: tuple[object, str, Path]) -> Wei:
    value, source, _ = setting
    try:
        fee = parse_amount(f"{value} gwei", source) if isinstance(value, int | str | Decimal) else Wei(0)
    except BadInput:
        fee = Wei(0)
    if fee <= 0 or isinstance(value, bool):
        raise Usage(f"{source}: expected a price for one gas in gwei such as 50 or 0.5, found {str(value)[:40]!r}")
    return fee
