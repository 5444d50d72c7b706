"""The parity report: verdict first, then what was proved, how closely, by whom, and how to see it again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..checks import bounds, departure
from ..checks.finding import Finding, Status
from ..reference import export, variants
from . import files, formats, input_size_chapter, learning, learning_plots, plots, precision, special, towers
from .findings_file import Findings
from .markdown import folded, holds, percent, picture, short, table


def write(found: Findings, path: Path) -> None:
    """The report at `path` and its figures in figures/ beside it; nothing is replaced unless all of it could be made."""
    rows = frame(found)
    folder = files.folder(path.parent / "figures")
    pictures = {f"{path.stem}-input-size.svg": plots.input_size()}
    variant = main_variant(rows)
    if variant:
        layers = variants.variant(variant).names()
        if has(rows, "local-", variant) or has(rows, "chain-", variant):
            pictures[f"{path.stem}-error-share.svg"] = plots.error_share(rows, layers, variant)
        if has(rows, "chain-large", variant):
            pictures[f"{path.stem}-rmse.svg"] = plots.rmse(rows, layers, variant)
        if has(rows, "gradient-local-large", variant):
            pictures[f"{path.stem}-gradients.svg"] = learning_plots.gradients(rows, layers, variant)
    rules = rows[(rows.check == "update-rule") & (rows.status != Status.UNSUPPORTED)]
    if len(rules):
        pictures[f"{path.stem}-updates.svg"] = learning_plots.updates(rules)
    if towers.counted(found.findings):
        pictures[f"{path.stem}-towers.svg"] = towers.figure(found.findings)
    if special.grid(found.findings):
        pictures[f"{path.stem}-special.svg"] = special.figure(found.findings)
    text = document(found, rows, path.stem, list(pictures), variant)
    for name, figure in pictures.items():
        plots.save(figure, folder / name)
    files.write(path, text)


def has(rows: pd.DataFrame, check: str, variant: str) -> bool:
    return bool((rows.check.str.startswith(check) & (rows.variant == variant) & rows.share.notna()).any())


def frame(found: Findings) -> pd.DataFrame:
    """A row for each finding, its measurements as columns."""
    records = [finding.as_dict() | finding.numbers | {"good": finding.good()} for finding in found.findings]
    rows = pd.DataFrame.from_records(records).rename(columns={"error_over_bound": "share"})
    for column in ("rmse", "rms", "rmse_numpy_float32", "ulps", "ulps_from_batch", "moved", "bits_differ"):
        if column not in rows:
            rows[column] = float("nan")
    rows["share"] = rows.share.astype(float)
    ran_on = rows[rows.impl != "oracle"].groupby("impl").device.nunique()
    several = rows.impl.isin(ran_on[ran_on > 1].index)
    rows.loc[several, "impl"] = rows.impl + " (" + rows.device + ")"  # cpu and cuda are judged apart
    return rows


def main_variant(rows: pd.DataFrame) -> str:
    """The variant that the figures show: the paper if it was verified, else the first."""
    found = [name for name in rows.variant.unique() if name in variants.names()]
    return "paper" if "paper" in found else (found or [""])[0]


def document(found: Findings, rows: pd.DataFrame, stem: str, pictures: list[str], variant: str) -> str:
    addresses, special_picture = [f"figures/{name}" for name in pictures], f"figures/{stem}-special.svg"
    parts = [
        "# AlexNet parity",
        verdict(found, rows),
        picture(pictures, f"{stem}-error-share.svg", "Each layer's error against its bound"),
        wrong(found),
        proved(rows),
        accuracy(rows, pictures, stem),
        together(rows),
        decision(rows),
        batches(rows),
        learning.chapter(rows, pictures, stem),
        towers.section(found.findings, f"figures/{stem}-towers.svg"),
        precision.chapter(found.findings),
        *special.chapter(found.findings, special_picture if special_picture in addresses else ""),
        *formats.chapter(found.findings),
        layers(rows, variant),
        sensitivity(rows),
        input_size_chapter.chapter(rows, f"figures/{stem}-input-size.svg"),
        method(),
        environment(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def implementations(rows: pd.DataFrame) -> list[str]:
    return sorted(name for name in rows.impl.unique() if name != "oracle" and "~" not in name)


def verdict(found: Findings, rows: pd.DataFrame) -> str:
    names = implementations(rows)
    counts = found.summary
    what = ", ".join(f"{counts[s.value]:,} {s.value}" for s in Status if counts[s.value])
    nets = ", ".join(f"`{name}`" for name in rows.variant.unique())
    if not found.good():
        return f"**Verdict: FAIL.** {what}. {'Nothing was judged' if found.nothing_judged() else 'What is wrong comes first'}."
    passed = rows[rows.status == Status.PASS]
    proved = {name for name in names if (passed.impl == name).any()}
    who = ", ".join(f"`{name}`" for name in names if name in proved) or "The oracle"
    lines = [f"**Verdict: PASS.** {who} on {nets}: {what}.", ""]
    if silent := [name for name in names if name not in proved]:
        lines.append(f"- **Nothing was proved about** {', '.join(f'`{name}`' for name in silent)}: unsupported here.")
    lines += [line for check, line in CLAIMS.items() if (passed.check == check).any()]
    real = passed[passed.check.str.startswith(("local-", "chain-"))]
    if len(real):
        known = known_departures(rows)
        but = ", but as known below" if known else ""
        lines.append(
            f"- On real numbers no element of any layer judged is over its derived bound{but}; "
            f"the closest uses **{percent(real.share.max())}** of it."
        )
        lines += known
    return "\n".join(lines)


def known_departures(rows: pd.DataFrame) -> list[str]:
    """A line for each reason on record for which an implementation is over a bound on real numbers: who, where, how far."""
    over = rows[(rows.status == Status.KNOWN) & rows.check.str.startswith(("local-", "chain-")) & (rows.share > 1)]
    lines = []
    for reason, group in over.groupby("hint", sort=False):
        who, where = ", ".join(f"`{name}`" for name in group.impl.unique()), ", ".join(group.layer.unique())
        lines.append(f"- **Known:** {who} at {where}, up to {group.share.max():.3g} times the bound: {reason}.")
    return lines


# What a check's passing means, for the top of the report.
CLAIMS = {
    "exact-chain": "- In exact arithmetic every output of every layer (but the softmax) of the whole network equals the "
    "float64 oracle's, **bit for bit**, and so the implementations equal one another.",
    "exact-dense": "- Each convolution and dense layer alone, no zero among its weights and inputs: bit for bit, so that one "
    "weight off by 2^-10 would show.",
    "precision-inputs": "- Integers of 9 to 24 significant bits prove which arithmetic ran: every convolution and dense layer "
    "reads its numbers as **float32** and sums them in float32 or wider.",
    "exact-one-tap": "- With one weight per filter, each layer alone is exact on real inputs: bit for bit.",
    "padding-227-exact": "- 224 with three zeros at the right and bottom gives the bits of 227 with the same zeros: see *224 or "
    "227*.",
}


def wrong(found: Findings) -> str:
    """Everything that fails, the first departure of each implementation on top."""
    bad = departure.in_order(found.findings)
    if not bad:
        return ""
    lines = ["## What is wrong", "### First departure of each implementation"]
    lines.append(table([cells(f) for f in departure.first(bad)], HEADERS))
    lines.append("### All of it, causes before consequences" if len(bad) <= 200 else f"### The first 200 of {len(bad)}")
    lines.append(table([cells(f) for f in bad[:200]], HEADERS))
    return "\n\n".join(lines)


HEADERS = ("status", "implementation", "variant", "layer", "check", "expected", "got", "why", "again")


def cells(f: Finding) -> tuple[str, ...]:
    return (f.status, f.impl, f.variant, f.layer, f.check, f.expected, f.got, f.hint, f"`{f.replay}`")


def proved(rows: pd.DataFrame) -> str:
    """How many findings hold and how much of the bound is used, by variant, then by check; a column an implementation."""
    names = implementations(rows)
    own = rows[rows.impl.isin(names)]

    def counted(*by: str) -> list[tuple[str, ...]]:
        groups = own.groupby(list(by), sort=False)
        return [(*map(str, key), *(holds(group[group.impl == name]) for name in names)) for key, group in groups]

    nets = [(name, about(name), parameters(name), *cells) for name, *cells in counted("variant")]
    note = (
        "Holds / asked, and the largest share of the bound used. Bitwise checks have no share: equal or not. "
        "`exact` compares bits, `local` judges a layer alone on what the implementation fed to it, `chain` judges the "
        "network from end to end."
    )
    overview = table(nets, ("variant", "what it is", "parameters", *names))
    checks = folded(counted("variant", "check"), ("variant", "check", *names), "Each check")
    return "\n\n".join(["## What was checked", note, overview, checks])


def about(variant: str) -> str:
    return variants.variant(variant).about if variant in variants.names() else ""


def parameters(variant: str) -> str:
    return f"{variants.variant(variant).parameter_count():,}" if variant in variants.names() else ""


LOGITS = ("fc8", "fc10")  # the last dense layer, of the ImageNet and of the CIFAR-10 networks


def accuracy(rows: pd.DataFrame, pictures: list[str], stem: str) -> str:
    """RMSE against float64 beside NumPy float32's own."""
    if f"{stem}-rmse.svg" not in pictures:
        return ""
    real = rows[(rows.check == "chain-large") & rows.rmse.notna()]
    lines = []
    for (variant, impl), group in real.groupby(["variant", "impl"], sort=False):
        ratio = (group.rmse / group.rmse_numpy_float32).replace(float("inf"), float("nan"))
        last = group[group.layer.isin(LOGITS)]
        relative = (last.rmse / last.rms).iloc[0] if len(last) else float("nan")
        lines.append((variant, impl, f"{ratio.median():.2f}", f"{ratio.max():.2f}", f"{relative:.1e}"))
    text = (
        "Every layer's root mean square error against float64, with large activations, divided by that of the same "
        "network in NumPy float32: below 1 is closer to the truth than NumPy."
    )
    headers = ("variant", "implementation", "median over layers", "largest", "relative RMSE of the logits")
    return "\n\n".join(
        [
            "## How close to float64",
            text,
            folded(lines, headers),
            picture(pictures, f"{stem}-rmse.svg", "RMSE by layer"),
        ]
    )


def together(rows: pd.DataFrame) -> str:
    """The implementations against one another."""
    text = [
        "## The frameworks against one another",
        "Pairs of implementations, neither taken for the truth. In exact arithmetic the distance is 0 ulp everywhere. "
        "On real numbers the largest distance in units of the last place says how differently two frameworks round: "
        "it is largest where a result is the small difference of large numbers, and each is within its own bound.",
    ]
    pairs = rows[rows.impl.str.contains("~")]
    lines = []
    for (variant, pair), group in pairs.groupby(["variant", "impl"], sort=False):
        exact = group[group.check == "together-exact"]
        bits = f"{exact.good.sum()} of {len(exact)} layers equal" if len(exact) else ""
        real = [group[group.check == f"together-{s}"] for s in ("large", "photograph")]
        cells = [f"{percent(g.share.max())}, {g.ulps.max():,.0f} ulp" if len(g) else "" for g in real]
        lines.append((variant, pair, bits, *cells))
    if not lines:
        text.append(
            "These findings come from separate runs, so no pair met in one process. Equality still follows: in exact "
            "arithmetic each implementation equals the same oracle bit for bit (same digests of weights and inputs), and "
            "on real numbers two that lie within T of the truth lie within 2 T of one another."
        )
    headers = ("variant", "pair", "exact", "large: share of both bounds", "photograph: share of both bounds")
    return "\n\n".join([*text, folded(lines, headers) if lines else ""]).strip()


def decision(rows: pd.DataFrame) -> str:
    chosen = rows[(rows.check == "decision-top5") & (rows.status == Status.PASS)]
    if not len(chosen):
        return ""
    lines = [
        (r.variant, r.impl, r.expected, r.got, f"{r.gap:.1e}", f"{r.bound_at_gap:.1e}") for r in chosen.itertuples()
    ]
    text = (
        "A photograph (Grace Hopper, as matplotlib ships it; shorter side to 256, central 256 x 256, central crop, "
        "mean RGB subtracted) through each network's own initialisation. The weights are untrained, so the classes mean "
        "nothing; that all agree on them does, since the gap between the fifth and the sixth is wider than the bound."
    )
    headers = ("variant", "implementation", "expected", "got", "gap after the fifth", "bound there")
    return "\n\n".join(["## The same decision", text, folded(lines, headers)])


def batches(rows: pd.DataFrame) -> str:
    """An image alone and in a batch."""
    real = rows[(rows.check == "batch-large") & rows.ulps_from_batch.notna()]
    if not len(real):
        return ""
    lines = []
    for (variant, impl), group in real.groupby(["variant", "impl"], sort=False):
        moved = group[group.ulps_from_batch > 0]
        first = moved.layer.iloc[0] if len(moved) else "none"
        lines.append((variant, impl, f"{len(moved)} of {len(group)}", first, f"{group.ulps_from_batch.max():,.0f}"))
    text = (
        "The first image alone and as part of a batch of two. In exact arithmetic the bits are the same at every layer. On "
        "real numbers a matrix library may take another path for another batch size, and the bits move, inside the bound."
    )
    headers = ("variant", "implementation", "layers whose bits move", "the first", "largest distance (ulp)")
    return "\n\n".join(["## One image or many", text, folded(lines, headers)])


def layers(rows: pd.DataFrame, variant: str) -> str:
    """The layer table of the main variant, and those of the others folded away."""
    known = [name for name in rows.variant.unique() if name in variants.names()]
    if not known:
        return ""
    others = [
        f"<details><summary>The layers of <code>{name}</code></summary>\n\n{layer_table(rows, name)}\n\n</details>"
        for name in known
        if name != variant
    ]
    return "\n\n".join([f"## The layers (`{variant}`)", layer_table(rows, variant), *others])


def layer_table(rows: pd.DataFrame, variant: str) -> str:
    """A variant's layers with each implementation's exact verdict and share of the bound."""
    network = variants.variant(variant)
    names = implementations(rows)
    mine = rows[rows.variant == variant]
    lines = []
    for spec in export.rows(network):
        alone = mine[mine.layer == spec[0]]
        bits = [set(alone[(alone.impl == n) & (alone.check == "exact-chain")].status) == {Status.PASS} for n in names]
        exact = "all" if names and all(bits) else ", ".join(n for n, b in zip(names, bits, strict=True) if b)
        share = alone[alone.check.str.startswith("local-")].share.max()
        lines.append((*spec, exact, percent(share)))
    headers = (*export.HEADERS, "equal bits in", "share of the bound used, alone")
    return f"{network.about[:1].upper()}{network.about[1:]}.\n\n{table(lines, headers)}"


def sensitivity(rows: pd.DataFrame) -> str:
    """What the checks can see."""
    edits = rows[rows.check == "sensitivity-fields"]
    if not len(edits):
        return ""
    text = (
        "A check that cannot see is worth nothing. Each field of each layer's spec is changed a little. Either the shape of "
        "the output or of the weights gives it away, or the oracle says how far the output moves, in units of the tolerance "
        "it is judged with. Under 100 would be reported as BLIND. KNOWN edits give the same function at these sizes, proved "
        "by not one bit moving."
    )
    kinds = edits.layer.str.rstrip("0123456789")
    lines = []
    for (status, _, edit, hint), group in edits.groupby(["status", kinds, "expected", "hint"], sort=False):
        what = str(edit).partition(": moves")[0].partition(": not one")[0].removeprefix("name: ")
        lines.append((status, " ".join(dict.fromkeys(group.layer)), what, least_moved(group), hint))
    headers = ("status", "layers", "edit", "the output moves by at least", "why it is the same")
    summary = f"{(edits.status == Status.PASS).sum()} edits seen, {(edits.status == Status.KNOWN).sum()} known, "
    summary += f"{(edits.status == Status.BLIND).sum()} blind."
    full = folded(lines, headers, "All edits", most=0)
    return "\n\n".join(["## What the checks can see", text, summary, full])


def least_moved(group: pd.DataFrame) -> str:
    """The smallest move over layers and variants, in tolerances, and whether a shape gives some of them away."""
    parts = [f"{group.moved.min():,.0f} x"] if group.moved.notna().any() else []
    rest = group[group.moved.isna()].got
    by_shape = rest.str.contains("shape|impossible")
    parts += ["another shape"] if by_shape.any() else []
    return ", ".join([*parts, *dict.fromkeys(rest[~by_shape])])


def method() -> str:
    return f"""## How it is proved

- **Bit for bit.** With ternary weights (24 non-zero taps per filter, every tap of every layer used by some filter),
  integer inputs and biases, and each LRN as x / 1^0.75, every partial sum is an integer below 2^24 and so exact in
  float32 in *any* order. The oracle proves that on the actual numbers: max(|W| * |x| + |b|) < 2^24 at every layer.
  Whatever the order of summation, a correct implementation gives these bits and no others. One-layer networks with no
  zero among weights and inputs add that a single weight off by 2^-10 shows.
- **Within a derived bound.** |y - y64| <= 8 u sqrt(n) (|y64| + sqrt(W^2 * x^2 + b^2)) for each element of an affine layer, u =
  2^-24, n the products summed. If rounding errors are independent with mean zero and the terms come in random order, a
  correct element is over it with a probability below {bounds.failure_probability():.0e}. LRN and softmax: derived from their own
  operations. End to end: tolerances carried forward as variances. `checks/bounds.py` has the derivations.
- **Recorded, then judged.** Each implementation runs in a process of its own and hands over copies of every layer's
  output; each layer is judged on what the implementation itself fed to it, so one wrong layer accuses no other."""


VERSIONED = (
    "torch",
    "tensorflow",
    "keras",
    "jax",
    "onnx",
    "onnxruntime",
    "openvino",
    "numpy",
    "driver",
    "cuda",
    "cudnn",
)
FLAGS = ("backend", "threads", "tf32", "deterministic")


def environment(found: Findings) -> str:
    """Versions, devices, flags, digests."""
    lines, devices = [], []
    for run in found.environment["runs"]:
        where = f"{run['system']}, {run['processor']}, Python {run['python']}"
        for impl, flags in sorted(run["implementations"].items()):
            device = flags.get("device", run["device"])
            devices.append(device.lower())
            versions = ", ".join(f"{k} {v}" for k, v in flags.items() if k in VERSIONED)
            rest = ", ".join(f"{k} {flags[k]}" for k in FLAGS if k in flags)
            memory = f"{int(flags['peak_memory_mb']):,} MB" if flags.get("peak_memory_mb") else ""
            lines.append((impl, versions, device, rest, memory, where, run["seed"]))
    headers = ("implementation", "versions", "device", "flags", "peak memory", "machine", "seed")
    gpu = any("cuda" in d or "gpu" in d for d in devices)
    note = (
        ""
        if gpu
        else (
            "**CUDA: not run here.** No GPU was at hand. `--device cuda` takes the same path, with TF32 off and deterministic "
            "kernels on; nothing in this report says what it would find. Record on a machine with one (`alexnet-parity record "
            "--device cuda`) and verify the file here."
        )
    )
    digests = [(name, short(d["params"]), short(d["input"])) for name, d in found.environment["digests"].items()]
    headers_of = ("variant/stimulus", "weights (SHA-256)", "input (SHA-256)")
    full = folded(digests, headers_of, "Digests of weights and inputs", most=0)
    replays = (
        "Every finding in the JSON carries the one command that runs its check again, such as\n"
        f"`{found.findings[0].replay}`."
    )
    return "\n\n".join(part for part in ("## Environment", table(lines, headers), note, full, replays) if part)
