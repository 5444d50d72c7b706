"""The chapter on precision says what was found, layer by layer, and what is otherwise than a setting says."""

from __future__ import annotations

from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.reports import precision


def pair(impl: str, layer: str, read: str, summed: str, variant: str = "paper-thin") -> list[Finding]:
    good = Status.PASS if read == "float32" else Status.FAIL
    kept = Status.PASS if summed.startswith("float32") and "results" not in summed else Status.FAIL
    return [
        Finding(good, layer, got=read, check="precision-inputs", impl=impl, variant=variant),
        Finding(kept, layer, got=summed, check="precision-accumulator", impl=impl, variant=variant),
    ]


FOUND = [
    *pair("torch", "conv1", "float32", "float32, fused multiply-add"),
    *pair("torch", "fc6", "float32", "float32, fused multiply-add, split accumulation"),
    *pair("torch@bfloat16", "conv1", "bfloat16 (8 significant bits)", "float32, results rounded to bfloat16"),
    *pair("torch@mkldnn-bfloat16", "conv1", "float32", "float32"),
    *pair("torch@float16", "conv1", "bfloat16 (8 significant bits)", "float32"),
    *pair("mine.py", "conv1", "unexplained: 3 of 9 answers, as 1 for 2", "unexplained: 3 of 9 answers, as 1 for 2"),
]


def cells(text: str, impl: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| `{impl}` ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_cell_for_each_layer():
    text = precision.chapter(FOUND)
    assert cells(text, "torch") == ["float32 \\*", "float32 \\*†"]
    assert cells(text, "torch@bfloat16") == ["bfloat16 → float32 → bfloat16", ""]
    assert cells(text, "mine.py") == ["**unexplained**", ""]


def test_the_summary_counts_and_names_what_is_otherwise():
    text = precision.chapter(FOUND)
    assert "2 of 5 compute every layer in float32, or wider: `torch`, `torch@mkldnn-bfloat16`." in text
    assert "1 that compute in less are named so in all of their 1 layers: `torch@bfloat16`." in text
    assert "in float32 all the same on this processor: `torch@mkldnn-bfloat16`." in text
    assert "**Otherwise than they say**: `torch@float16`." in text


def test_other_cells():
    text = precision.chapter(
        [
            *pair(
                "a.py",
                "conv1",
                "a transform of tiles, as Winograd's: not seen behind it",
                "a transform of tiles, as Winograd's",
            ),
            *pair("b.py", "conv1", "tf32 (11 significant bits)", "float32 of tensor cores (1 extra bits)"),
        ]
    )
    assert cells(text, "a.py") == ["a transform"]
    both = pair("c.py", "conv1", "bfloat16 (8 significant bits)", "bfloat16")
    assert cells(precision.chapter(both), "c.py") == ["bfloat16"]
    assert cells(text, "b.py") == ["tf32 → float32 of tensor cores (1 extra bits) → float32"]


def test_what_could_not_be_asked_has_no_row():
    checks = ("precision-inputs", "precision-accumulator")
    assert (
        precision.chapter([Finding(Status.UNSUPPORTED, got="why", check=check, impl="c.py") for check in checks]) == ""
    )


def test_a_layer_alone_comes_before_the_same_in_its_network():
    chain = [
        Finding(Status.PASS, "conv1", got="float32", check=check, impl="torch", variant="paper-thin")
        for check in ("precision-chain-inputs", "precision-chain-accumulator")
    ]
    assert cells(precision.chapter(chain), "torch") == ["float32"]
    assert cells(precision.chapter([*chain, *FOUND]), "torch") == ["float32 \\*", "float32 \\*†"]


def test_nothing_found_is_no_chapter():
    assert precision.chapter([]) == ""
