"""`dlbc disk`: what a miner keeps, by task, and what of it may go."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings, typed_duration

if TYPE_CHECKING:
    from dlbc.core.retention import Holding, Release
    from dlbc.core.types import Address
    from dlbc.ports import Journal
    from dlbc.roles.disk import MinerDisk


@click.command(cls=Command)
@click.option("--free", is_flag=True, help="Delete and unpin what may go; not while the miner runs.")
@click.option(
    "--keep", metavar="DURATION", default="7d", show_default=True, help="Unpin nothing that ended later than this ago."
)
@click.pass_obj
def command(settings: Settings, free: bool, keep: str) -> None:
    """Show what a miner keeps, and free what it no longer needs.

    Files go once a task is over and its deposit home; pins of losing models some time after that; pins of winning
    models never. A running miner frees by itself when it is over disk_quota_gb.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal

    keep_seconds = typed_duration(keep, "--keep")
    config = settings.config()
    address = bootstrap.account_address(config, ask_on_terminal())
    with closing(_journal(settings, address, write=free)) as journal:
        disk = bootstrap.miner_disk(config, address, journal, bootstrap.event_log())
        holdings, releases = disk.holdings(), disk.plan(keep_seconds=keep_seconds)
        freed = _free(disk, releases) if free else (0, 0, 0)
    if settings.json:
        render.print_json(_told(address, config.disk_quota_gb, holdings, releases, freed if free else None))
        return
    if freed[0] or freed[1]:
        click.echo(
            f"Deleted {render.size(freed[0])} of files and unpinned {render.size(freed[1])}; the IPFS node deleted"
            f" {render.size(freed[2])}."
        )
    elif free:
        click.echo("Nothing may go now.")
    _show(address, config.disk_quota_gb, holdings, releases, is_done=free)


def _journal(settings: Settings, address: Address, *, write: bool) -> Journal:
    from dlbc import bootstrap
    from dlbc.core.errors import NotFound

    folder = bootstrap.role_folder(settings.config(), "miner", address)
    if not folder.is_dir():
        raise NotFound(f"there is no miner of {address} in {folder.parent}: nothing is kept")
    return bootstrap.journal(folder, read_only=not write)


def _free(disk: MinerDisk, releases: list[Release]) -> tuple[int, int, int]:
    """(bytes of files, bytes unpinned, bytes that the IPFS node deleted)."""
    from dlbc import bootstrap
    from dlbc.core.errors import TryLater

    files, pins = disk.free(releases)
    if not pins:
        return files, pins, 0
    try:
        return files, pins, disk.storage.collect()
    except TryLater as error:  # unpinned it is; real nodes collect by themselves, too
        bootstrap.event_log()("try_later", do="collect garbage", reason=str(error))
        return files, pins, 0


def _show(address: Address, quota_gb: int, holdings: list[Holding], releases: list[Release], *, is_done: bool) -> None:
    files, pins = sum(each.file_bytes for each in holdings), sum(each.pin_bytes for each in holdings)
    limit = f"{quota_gb} GB (disk_quota_gb)" if quota_gb else "none (set disk_quota_gb)"
    may_go = sum(each.file_bytes + each.pin_bytes for each in releases)
    title = f"Kept before by the miner {address}" if is_done else f"Kept by the miner {address}"
    told = {"files": render.size(files), "pinned on the IPFS node": render.size(pins), "quota": limit}
    if not is_done:
        told["would be freed by --free"] = render.size(may_go)
    render.facts(title, told)
    if holdings:
        gone = {each.holding.key: each for each in releases}
        render.table(
            "",
            ["task", "round", "phase", "files", "pins", "why it stays"],
            [_row(each, gone.get(each.key)) for each in holdings],
            right=["task", "round", "files", "pins"],
        )


def _row(holding: Holding, release: Release | None) -> list[object]:
    return [
        holding.task_id,
        holding.round,
        holding.phase.label if holding.is_known else "-",
        render.size(holding.file_bytes),
        render.size(holding.pin_bytes),
        _why(holding, release) or "-",
    ]


def _why(holding: Holding, release: Release | None) -> str:
    from dlbc.core.retention import why_files_stay, why_pins_stay

    if not holding.file_bytes and not holding.pins:
        return "nothing is left"
    files = why_files_stay(holding)
    if files:
        return files
    if release is not None and (release.pins or not holding.pins):
        return ""
    return f"pins: {why_pins_stay(holding, now=0)}" if holding.pins else ""


def _told(
    address: Address,
    quota_gb: int,
    holdings: list[Holding],
    releases: list[Release],
    freed: tuple[int, int, int] | None,
) -> dict[str, object]:
    gone = {each.holding.key: each for each in releases}
    entries = [
        {
            "taskId": each.task_id,
            "round": each.round,
            "phase": each.phase.label if each.is_known else None,
            "fileBytes": each.file_bytes,
            "pinBytes": each.pin_bytes,
            "freedFileBytes": gone[each.key].file_bytes if each.key in gone else 0,
            "freedPinBytes": gone[each.key].pin_bytes if each.key in gone else 0,
            "whyItStays": _why(each, gone.get(each.key)),
        }
        for each in holdings
    ]
    told: dict[str, object] = {"account": address, "quotaBytes": quota_gb * 10**9 or None, "entries": entries}
    if freed is not None:
        told["freed"] = dict(zip(("fileBytes", "pinBytes", "repositoryBytes"), freed, strict=True))
    return told
