"""`dlbc deploy`: a market, its ledger, pool and lens on the configured chain; with --verify, whether one is genuine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings
from dlbc.cli.password import ask_on_terminal

if TYPE_CHECKING:
    from dlbc.adapters.chain.verify import Row, Verification
    from dlbc.config import Config

EXIT_FAILED = 4
_FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.option("--params", type=_FILE, help="TOML file of parameters (else the chain's own).")
@click.option("--output", type=_FILE, help="Record the deployment in this file (else deployments/CHAIN.json).")
@click.option("--verify", is_flag=True, help="Deploy nothing; compare what is deployed with the sources.")
@click.option("--deployment", type=_FILE, help="Verify what this file records (else the chain's own record).")
@click.option("--market", metavar="ADDRESS", help="Verify this market, without a record.")
@click.pass_obj
def command(
    settings: Settings,
    params: Path | None,
    output: Path | None,
    verify: bool,
    deployment: Path | None,
    market: str | None,
) -> int:
    """Deploy the contracts to the configured chain, or verify deployed ones.

    Parameters are immutable once deployed: see deploy/params and docs/protocol.md, section 12. The record goes to
    deploy/deployments in a checkout (a local chain's, and outside a checkout any, to the home folder).

    --verify compiles contracts/ again and compares code, immutables and, with a record, the creating transactions.
    Exit code 4 if anything differs.
    """
    from dlbc.core.errors import Usage

    if verify and (params or output):
        raise Usage("--verify deploys nothing, so it takes neither --params nor --output; leave them out")
    if not verify and (deployment or market):
        raise Usage("--deployment and --market name what to verify; add --verify")
    if deployment and market:
        raise Usage("--deployment names a market itself; give it or --market, not both")
    config = settings.config()
    return _verify(settings, config, deployment, market) if verify else _deploy(settings, config, params, output)


def _deploy(settings: Settings, config: Config, params: Path | None, output: Path | None) -> int:
    from dlbc import bootstrap
    from dlbc.adapters.chain import record
    from dlbc.adapters.chain.deploy import chain_id_of, deploy_contracts, load_params
    from dlbc.core.errors import Usage

    chain_id = chain_id_of(config.rpc_url)
    if config.chain_id not in {None, chain_id}:
        raise Usage(
            f"{config.shown_rpc_url} is chain {chain_id}, the configuration says chain {config.chain_id}; "
            "set rpc_url or chain_id"
        )
    file = output or record.record_file(chain_id, config.home)
    if file.exists() and (output is not None or chain_id != record.LOCAL_CHAIN_ID):
        raise Usage(f"{file} exists already, and a record is never replaced; move it away, or name another by --output")
    keys = bootstrap.keys(config, ask_on_terminal())
    deployment = deploy_contracts(config.rpc_url, keys, *load_params(chain_id, params))
    record.write(deployment, file)
    if settings.json:
        render.print_json(record.to_json(deployment))
        return 0
    render.facts(
        f"Deployed on chain {chain_id}",
        {
            "market": deployment.market,
            "registry": deployment.registry,
            "pool": deployment.pool,
            "lens": deployment.lens,
            "block": deployment.block_number,
            "gas used": deployment.gas_used,
            "record": file,
        },
    )
    click.echo(
        "\nTo use it, put into dlbc.toml:\n"
        f'chain_id = {chain_id}\nmarket = "{deployment.market}"\nlens = "{deployment.lens}"\n'
        f"deployment_block = {deployment.block_number}"
    )
    return 0


def _verify(settings: Settings, config: Config, file: Path | None, market: str | None) -> int:
    from dlbc.adapters.chain import record
    from dlbc.adapters.chain import verify as verifying
    from dlbc.adapters.chain.deploy import chain_id_of
    from dlbc.config import checked_address

    known = record.read(file, verifying.NAMES) if file else None
    if file is None and market is None:
        file = record.record_file(chain_id_of(config.rpc_url), config.home)
        known = record.read(file, verifying.NAMES) if file.exists() else None
        if known and config.market not in {None, known.market}:
            known = None  # of another market than the configured one
    if known is not None:
        artifacts, is_compiled_here = verifying.reference_artifacts()
        found = verifying.verify_record(config.rpc_url, known, artifacts, is_compiled_here)
    else:
        address = checked_address(market, "--market") if market else config.require_market()
        lens = config.lens if address == config.market else None
        artifacts, is_compiled_here = verifying.reference_artifacts()
        found = verifying.verify_market(config.rpc_url, address, lens, config.chain_id, artifacts, is_compiled_here)
    if settings.json:
        render.print_json(_as_json(found, file if known else None))
    else:
        _show(found, file if known else None)
    return 0 if found.passed else EXIT_FAILED


def _as_json(found: Verification, file: Path | None) -> dict[str, object]:
    return {
        "chainId": found.chain_id,
        "verification": "pass" if found.passed else "fail",
        "record": file,
        "comparedWith": "checkout" if found.is_compiled_here else "wheel",
        "sourceHash": found.source_hash,
        "recordedSourceHash": found.recorded_source_hash or None,
        "compiler": found.compiler,
        "settings": found.settings,
        "params": found.params,
        "poolParams": found.pool_params,
        "addresses": found.addresses,
        "leftOut": list(found.left_out),
        "checks": [
            {
                "contract": row.contract,
                "check": row.check,
                "expected": row.expected,
                "found": row.found,
                "ok": row.ok,
            }
            for row in found.rows
        ],
    }


def _show(found: Verification, file: Path | None) -> None:
    rows = [(*_summary(found, name), render.short(address)) for name, address in found.addresses.items()]
    render.table(
        f"Contracts on chain {found.chain_id}", ["", "contract", "code expected", "code found", "checks", "at"], rows
    )
    failed = [row for row in found.rows if not row.ok]
    for row in failed:
        click.echo(f"✗ {row.contract}, {row.check}: expected {row.expected}")
        click.echo(f"  found {render.printable(row.found)}")
    compared = "contracts/ of this checkout, compiled now" if found.is_compiled_here else "the installed package"
    rules: dict[str, object] = {
        "compared with": compared,
        "source hash": found.source_hash,
        "compiler": f"solc {found.compiler}, EVM {found.settings['evmVersion']}",
    }
    if file is not None:
        rules["record"] = file
        if found.recorded_source_hash != found.source_hash:
            rules["recorded sources"] = f"{found.recorded_source_hash} (other text; the code decides)"
    for title, params in (("parameters", found.params), ("pool", found.pool_params)):
        if params is not None:
            rules[title] = ", ".join(f"{name} {value}" for name, value in asdict(params).items())
    render.facts("The rules that hold" if not failed else "The rules compared with", rules)
    for sentence in found.left_out:
        click.echo(f"not compared: {sentence}")
    click.echo(
        f"PASS: all {len(found.rows)} checks hold"
        if found.passed
        else f"FAIL: {len(failed)} of {len(found.rows)} checks fail"
    )


def _summary(found: Verification, name: str) -> tuple[str, str, str, str, str]:
    """A contract's line: whether all its checks hold, its code's hashes, and how many checks do."""
    rows: list[Row] = [row for row in found.rows if row.contract == name]
    code = next(row for row in rows if row.check == "code")
    held = sum(row.ok for row in rows)
    mark = "✓" if held == len(rows) else "✗"
    return mark, name, render.short(code.expected), render.short(code.found), f"{held}/{len(rows)}"
