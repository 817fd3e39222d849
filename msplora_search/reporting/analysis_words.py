"""What `analyze` found in words: ten lines for a terminal, a page for a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msplora_search.analysis.redundancy import Redundancy
from msplora_search.analysis.report import Analysis
from msplora_search.analysis.spectra import LevelSpectrum
from msplora_search.analysis.splitting import FEWEST_LAYERS, Split
from msplora_search.analysis.transfer import Interval, Transfer
from msplora_search.reporting.wording import table
from msplora_search.text import brief, markdown, printable, several

CLEAR = 3.0
"""Standard deviations of chance from which on a mean is told from it."""
HARDLY = 0.05
"""Mean cosine below which it makes no odds, however sure it is."""


def answer_lines(analysis: Analysis) -> list[str]:
    """The answer for a terminal."""
    trained, spectra = analysis.trained, analysis.spectra
    groups = "" if len(trained.groups) == 2 else f", depth groups {_groups(trained.groups)}"
    lines = [
        f"{brief(printable(trained.name), 60)}: {_kind(analysis)} on {several(trained.layers, 'layer')}, "
        f"{several(len(trained.places), 'target')}{groups}"
    ]
    lines += [
        f"  {level.level} level: effective rank {level.effective_rank:.2f} of {level.rank:.3g} "
        f"({level.rank_share:.0%}; random factors {level.random_share:.0%}), {level.energy:.1%} of the energy, "
        f"{level.unused:.0%} of its directions unused"
        for level in spectra.levels
    ]
    if claim := claim_sentence(analysis):
        lines.append(claim)
    lines += [redundancy_sentence(analysis.whole, "The whole updates"), *filter(None, _sharing(analysis))]
    lines.append(split_sentence(analysis))
    if analysis.is_pyramid:
        lines += [f"{finding.sign}: {finding.evidence}; {finding.remedy}" for finding in analysis.findings]
        if not analysis.findings:
            lines.append("No sign that the shape does not fit: " + LOOKED_FOR)
    return lines


def _kind(analysis: Analysis) -> str:
    return analysis.trained.kind if analysis.is_pyramid else "plain LoRA"


LOOKED_FOR = "no mode collapse, no layer ranks too low, no groups across borders, no idle level, no unused ranks."


def claim_sentence(analysis: Analysis) -> str:
    """Whether the global level is the most complex, as the paper's Figure 3 has it; empty for one level."""
    if len(analysis.spectra.levels) < 2:
        return ""
    absolute, relative = analysis.spectra.most_complex
    if "global" not in analysis.trained.levels:
        return f"There is no global level; the {absolute} level has the largest effective rank."
    holds = "holds" if absolute == "global" else f"does not hold ({absolute} is)"
    shared = "holds" if relative == "global" else f"does not hold ({relative} is)"
    return (
        f"That the global level is the most complex (arXiv 2503.21838, Figure 3) {holds} by effective rank, and "
        f"{shared} by the share of its rank that it fills, beside random factors of that rank."
    )


def redundancy_sentence(found: Redundancy, what: str) -> str:
    """How alike layers are, beside chance."""
    if len(found.layers) < 2:
        return f"{what} are in one layer alone: nothing can be repeated."
    pairs = len(found.off_diagonal)
    clear = abs(found.mean) > CLEAR * found.chance_sd / pairs**0.5
    said = ("" if abs(found.mean) >= HARDLY else "hardly ") + ("more" if found.mean > 0 else "less")
    beside = f"{said} alike than by chance" if clear else "no more alike than by chance"
    return (
        f"{what} of different layers are {beside}: mean cosine {found.mean:+.3f} (neighbours "
        f"{found.neighbours:+.3f}; "
        f"one random pair 0 ± {found.chance_sd:.3f}); one shared update would hold {found.replaceable:.0%} of "
        "their "
        f"energy (unrelated ones {1 / len(found.layers):.0%})."
    )


def directions_sentence(found: Redundancy) -> str:
    """Whether the layers work in the same directions; empty without two layers."""
    if found.columns is None or found.rows is None:
        return ""
    said = [
        f"{name} {overlap.mean:.3f}, by chance {overlap.chance:.3f} "
        f"({'more' if overlap.above > CLEAR else 'no more'})"
        for name, overlap in (("columns", found.columns), ("rows", found.rows))
    ]
    return f"Overlap of the directions they use: {', '.join(said)}."


def _sharing(analysis: Analysis) -> Iterator[str]:
    """Whether sharing took out what layers repeat."""
    own, whole = analysis.own, analysis.whole
    if own is None:
        yield directions_sentence(whole)
        return
    yield redundancy_sentence(own, "The layer level's updates") + f" {directions_sentence(own)}"
    if whole.mean > 0:
        left = max(0.0, own.mean) / whole.mean
        where = "in the shared levels" if left < 0.5 else "in the layer level too"
        above = [overlap for overlap in (own.columns, own.rows) if overlap and overlap.above > CLEAR]
        rest = ", where layers still use common directions more than by chance" if above else ""
        yield (
            f"What layers have in common is {where}: {left:.0%} of the mean cosine is left on the layer "
            f"level{rest}. Whether it would be repeated without sharing, only plain LoRA of the same task can "
            "tell."
        )


def split_sentence(analysis: Analysis) -> str:
    """The depth groups that are suggested, or that there is no structure."""
    layers = len(analysis.whole.layers)
    if layers < FEWEST_LAYERS:
        return f"Boundaries: of {several(layers, 'layer')} none can be told from chance ({FEWEST_LAYERS} could)."
    said = [
        f"by {name} {_split(analysis, split)}"
        for name, split in (("cosines", analysis.split), ("directions in use", analysis.by_directions))
    ]
    by_sharing = " This follows from the pyramid's own groups in part." if analysis.is_pyramid else ""
    found = max(analysis.split.groups, analysis.by_directions.groups) > 1
    return f"Boundaries: {'; '.join(said)}.{by_sharing if found else ''}"


def _split(analysis: Analysis, split: Split) -> str:
    if split.groups == 1:
        return f"no structure along the depth beyond chance (two groups: p {split.p_values[0]:.2f})"
    where = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in analysis.groups_of(split))
    held = f"; one update each would hold {split.held:.0%} of the energy, a single one {split.held_by_one:.0%}"
    return (
        f"{split.groups} groups, layers {where} (two groups: p {split.p_values[0]:.3f}"
        f"{held if split is analysis.split else ''})"
    )


def _groups(boundaries: Sequence[int]) -> str:
    return " ".join(f"{a}:{b}" for a, b in pairwise(boundaries))


def analysis_markdown(analysis: Analysis, pictures: tuple[str, str]) -> list[str]:
    """Paragraphs of `analysis.md`; `pictures`: of the spectra and of the similarity."""
    trained, spectra, whole = analysis.trained, analysis.spectra, analysis.whole
    rows = [_spectrum_row(level) for level in spectra.levels]
    columns = ["level", "adapters", "rank", "effective rank", "of its rank", "random factors"]
    columns += ["stable rank", "unused", "energy"]
    every = [r for r in (whole, analysis.own) if r is not None]
    said = [
        f"## {markdown(trained.name)}",
        f"{'A pyramid' if analysis.is_pyramid else 'Plain LoRA'} on {several(trained.layers, 'layer')}, depth "
        f"groups {_groups(trained.groups)}; targets "
        f"{', '.join(sorted({markdown(place.target) for place in trained.places}))}.",
        "### How complex the levels are",
        claim_sentence(analysis),
        table(columns, rows),
        "Effective rank: exponential of the entropy of normalised singular values (Roy and Vetterli, 2007); a "
        "level "
        "of rank 8 can reach 8, so its share of the rank stands beside it, and what Gaussian factors of the same "
        "shape fill. Stable rank: squared Frobenius norm "
        "over "
        "squared spectral norm. Unused: directions with less than 1% of their adapter's energy. Energy: share of "
        f"the squared norms; what levels have in common changes the norm of their sum by {spectra.overlap:+.0%}.",
        f"![spectra]({pictures[0]})",
        "### What layers repeat",
        redundancy_sentence(whole, "The whole updates"),
        *_sharing(analysis),
        table(
            ["updates", "mean cosine", "neighbours", "one random pair", "columns overlap", "by chance",
             "rows overlap", "by chance"],
            [_redundancy_row(found) for found in every],
        ),
        "Chance is what updates of the same singular values have, turned at random. Overlap: mean squared cosine "
        "of "
        "the principal angles, over the directions in use; shared levels are the same in all their layers. "
        "LoRA's down factors begin at random, each its own: after short training cosines are then near 0 even "
        "where "
        "layers learn the same, and the columns tell more.",
        f"![similarity]({pictures[1]})",
        "### Boundaries",
        split_sentence(analysis),
        "The split that holds most of the energy by one update a group, found exactly; one group more is believed "
        "only where the best split of shuffled layers holds as much in at most 5% of shuffles. "
        "Cosines and directions each have that 5%. Layers that change little by little are split too: a boundary "
        "need not be a sudden change.",
    ]  # fmt: skip
    if len({place.stack for place in trained.places}) > 1:
        said.append("There are several stacks: layers of the same number are taken together.")
    if analysis.is_pyramid:
        found = [[f.sign.value, f.evidence, f.remedy] for f in analysis.findings]
        said += ["### Signs that the shape does not fit"]
        said += [table(["sign", "evidence", "to try"], found)] if found else ["None: " + LOOKED_FOR]
    return [paragraph for paragraph in (*said, *trained.notes) if paragraph]


def _spectrum_row(level: LevelSpectrum) -> list[str]:
    shares = level.rank_share, level.random_share
    return [
        level.level,
        str(level.adapters),
        f"{level.rank:.3g}",
        f"{level.effective_rank:.2f}",
        *(f"{share:.0%}" for share in shares),
        f"{level.stable_rank:.2f}",
        f"{level.unused:.0%}",
        f"{level.energy:.1%}",
    ]


def _redundancy_row(found: Redundancy) -> list[str]:
    cells = [found.level, f"{found.mean:+.3f}", f"{found.neighbours:+.3f}", f"0 ± {found.chance_sd:.3f}"]
    for overlap in (found.columns, found.rows):
        cells += (
            ["-", "-"] if overlap is None else [f"{overlap.mean:.3f}", f"{overlap.chance:.3f} ± {overlap.sd:.3f}"]
        )
    return cells


def transfer_lines(found: Transfer) -> list[str]:
    """The answer for two studies."""
    one, other = (brief(printable(name), 40) for name in found.names)
    first = f"{one} to {other}: {found.matched} of {found.carried} configurations are in common or near"
    if found.why_not is not None:
        return [first, f"Too little to tell: {printable(found.why_not)}"]
    assert found.correlation is not None
    assert found.regret is not None
    assert found.random_regret is not None
    by_chance = found.chance_correlation or 0.0
    agree = (
        "agree" if found.correlation.low > 0 and found.correlation.mean > by_chance else "cannot be said to agree"
    )
    better = (found.as_good_by_chance or 0.0) <= 0.05
    verdict = "better than" if better else "not told from"
    return [
        first,
        f"They {agree} on what is good: rank correlation {_interval(found.correlation, 2)}, by chance up to "
        f"{by_chance:.2f} (95%)",
        f"Regret of taking {one}'s front in {other}: {_interval(found.regret, 4)} below the best of its size, in "
        f"{printable(found.metrics[1])}; of a random choice {found.random_regret:.4f}",
        f"The front carried over is {verdict} a random choice: {found.as_good_by_chance:.0%} of those do as well",
    ]


def transfer_markdown(found: Transfer, picture: str) -> list[str]:
    """Paragraphs of `analysis.md` for two studies."""
    one, other = map(markdown, found.names)
    said = [f"## From {one} to {other}", *(markdown(line) for line in transfer_lines(found))]
    if found.why_not is not None:
        return said
    rows = [[a, b, f"{apart:.2f}", f"{regret:.4f}"] for a, b, apart, regret in found.front]
    return [
        *said,
        f"![transfer]({picture})",
        table([f"on the front of {one}", f"stands for it in {other}", "apart", "regret"], rows),
        "A pyramid is carried over by depth fractions and roles of targets; what the second study trained nearest "
        "to "
        "it stands for it, within 0.75 doublings of a rank, a rate or an alpha. Intervals are 95% of draws of the "
        "true metrics given both studies' noise. The regret of noise alone is above 0: compare with random "
        "choices.",
    ]


def _interval(found: Interval, digits: int) -> str:
    return f"{found.mean:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"
