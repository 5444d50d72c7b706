"""The chapter on file formats: which weights survive being saved, loaded and converted with every bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..checks.finding import Finding, Status
from ..checks.saved.matrix import CHECK, TO
from ..impls.formats.table import BY_NAME
from .markdown import table

SAVED = "saved-formats"
SAME = "same bits"
OUTPUT = "every layer's output"


def chapter(findings: Iterable[Finding]) -> Iterator[str]:
    """Paragraphs and tables; nothing where neither the check nor the matrix was run."""
    findings = list(findings)
    saved = [finding for finding in findings if finding.check == SAVED]
    pairs = [finding for finding in findings if finding.check == CHECK]
    if not saved and not pairs:
        return
    yield "## Saved, loaded, converted"
    if saved:
        yield from own_formats(saved)
    if pairs:
        yield from matrix(pairs)


def own_formats(saved: list[Finding]) -> Iterator[str]:
    yield (
        "A model saved in its framework's own format, loaded into a model that was built with other weights, and read from "
        "the file alone: the parameters, with weights of every kind of bit pattern (both zeros, denormals, the largest finite "
        "numbers, infinities, NaNs with a payload, quiet and signalling), and what each layer gives. The last column: has the "
        "format a checksum, so that a single bit flipped in the file is refused? PyTorch writes one that `torch.load` ignores; "
        "`convert` does not."
    )
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in saved:
        groups.setdefault((finding.impl, format_of(finding)), []).append(finding)
    rows = [(f"`{impl}`", *of_format(name, found)) for (impl, name), found in sorted(groups.items())]
    yield table(rows, ("implementation", "format", "networks", "parameters", "outputs", "a flipped bit is seen"))


def format_of(finding: Finding) -> str:
    """What the check puts before a colon; "" where an implementation has no formats."""
    name, colon, _ = finding.expected.partition(":")
    return name if colon else ""


def of_format(name: str, found: list[Finding]) -> tuple[str, ...]:
    networks = ", ".join(sorted({finding.variant for finding in found}))
    known = BY_NAME.get(name)
    about = f"`{name}` ({known.about})" if known else f"`{name}`" if name else "none"
    outputs = [finding for finding in found if OUTPUT in finding.expected]
    params = [finding for finding in found if OUTPUT not in finding.expected]
    return (
        about,
        networks,
        verdict(params),
        verdict(outputs),
        "yes" if known and known.checksum else "no" if known else "",
    )


def verdict(found: list[Finding]) -> str:
    """ "same bits", or what is not so first."""
    for finding in found:
        if finding.status is not Status.PASS:
            return (
                f"{finding.status}: {' '.join(part for part in (finding.layer, finding.hint or finding.got) if part)}"
            )
    return SAME if found else ""


def matrix(pairs: list[Finding]) -> Iterator[str]:
    good = sum(finding.status is Status.PASS for finding in pairs)
    asked = sum(finding.status is not Status.UNSUPPORTED for finding in pairs)
    networks = ", ".join(f"`{name}`" for name in sorted({finding.variant for finding in pairs}))
    yield "### Every format into every other"
    yield (
        f"Weights of such bits ({networks}), written in the format of the row, read into the shared layout, written in the "
        f"format of the column, read again: **{good} of {asked}** pairs give the same bits"
        f"{f'; {len(pairs) - asked} could not be tried' if asked < len(pairs) else ''}. "
        "`alexnet-parity convert SOURCE --to FORMAT -o FILE` does the same with your weights, and compares before the file is "
        "there."
    )
    cells = {finding.impl: cell(finding) for finding in pairs}
    sources = list(dict.fromkeys(finding.impl.partition(TO)[0] for finding in pairs))
    targets = list(dict.fromkeys(finding.impl.partition(TO)[2] for finding in pairs))
    rows = [(f"`{source}`", *(cells.get(f"{source}{TO}{target}", "") for target in targets)) for source in sources]
    yield table(rows, ("from \\ to", *(f"`{target}`" for target in targets)))
    wrong = [finding for finding in pairs if not finding.good()]
    if wrong:
        yield table([(f.impl, f.layer, f.got, f.hint) for f in wrong], ("pair", "layer", "found", "why"))
    if unsupported := sorted({finding.got for finding in pairs if finding.status is Status.UNSUPPORTED}):
        yield "Not tried: " + "; ".join(unsupported) + "."


def cell(finding: Finding) -> str:
    match finding.status:
        case Status.PASS:
            return SAME
        case Status.UNSUPPORTED:
            return "not tried"
    return f"{finding.status} {finding.layer}".strip()
