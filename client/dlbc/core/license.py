"""What a model may be used for, as the requester names it: an SPDX identifier, and how model hubs write it."""

from __future__ import annotations

import re

from dlbc.core.errors import BadInput

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")

# The identifiers that the Hugging Face Hub accepts in a model card and that are SPDX's, in lower case
# (hub-docs, "Licenses"). A card with any other one is refused there unless it says "other" and a name.
_HUB = (
    "apache-2.0 mit afl-3.0 artistic-2.0 bsl-1.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc0-1.0 cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gpl-2.0 "
    "gpl-3.0 lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib"
)
# SPDX names versions of the GNU licences exactly, the Hub does not.
_EXACTLY = re.compile(r"((?:a|l)?gpl-[0-9.]+)-(?:only|or-later)")


def check_license(value: object, *, what: str) -> str:
    """The value as an SPDX identifier, such as "CC-BY-4.0". Raises BadInput for anything of another form.

    That SPDX lists it is not checked: the list grows, and a manifest has to stay readable by older clients.
    """
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise BadInput(
            f"{what}: expected an SPDX identifier of up to 64 letters, digits and . + - (such as CC-BY-4.0), "
            f"found {str(value)[:40]!r}"
        )
    return value


def hub_license(identifier: str) -> tuple[str, str | None]:
    """(license, license_name) of a model card on the Hugging Face Hub; "" is a licence that nobody named."""
    if not identifier:
        return "unknown", None
    lower = identifier.lower()
    exact = _EXACTLY.fullmatch(lower)
    known = exact[1] if exact else lower
    return (known, None) if known in _HUB.split() else ("other", lower)
