"""Tables of what z has learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from scripts.lib.latent.references import AlignedSentence
from scripts.lib.latent.rows import alignment_text
from scripts.lib.results import Row

TSV_COLUMNS = ("system", "split", "measure", "index", "value")
POSITIONS_COLUMNS = (
    "sentence", "position", "word", "matched_position", "matched_word", "distance_to_itself", "distance_to_match",
)  # fmt: skip


def dimensions_table(row: Row) -> str:
    """Principal components and, beside them, the latent dimensions themselves."""
    pca, kl = row["pca"], row["kl"]
    body = [
        [number, f"{100 * ratio:.1f}", f"{100 * cumulative:.1f}", f"{variance:.4g}", f"{nats:.4f}"]
        for number, (ratio, cumulative, variance, nats) in enumerate(
            zip(
                pca["explained_variance_ratio"],
                pca["cumulative_ratio"],
                pca["explained_variance"],
                kl["nats"],
                strict=True,
            ),
            start=1,
        )
    ]
    headers = ["component", "% of variance", "cumulative", "variance", "KL of dimension, nats"]
    shown = tabulate(body, headers, colalign=("right",) * 5, disable_numparse=True)
    return (
        f"{row['system']}, {row['split']}: {row['sentences']} sentences, {row['positions']} positions\n{shown}\n"
        f"effective dimension ({100 * pca['effective_share']:g} % of the variance): {pca['effective_dimension']} of "
        f"{row['dimensions']}; active dimensions (KL above {kl['active_above']:g} nats): {kl['active_dimensions']}; "
        f"KL {kl['kl_bits']:.3f} bits a position"
    )


def alignment_summary(row: Row) -> str:
    """The alignment of two translations' z in a few lines."""
    found = row["alignment"]
    left_out = [
        f"{found['equal_references']} whose two translations are the same" if found["equal_references"] else "",
        f"{found['missing_references']} without a second one" if found["missing_references"] else "",
    ]
    without = " and ".join(filter(None, left_out))
    unknown = f"; unknown tokens in them: {found['unknown_tokens']}" if found["unknown_tokens"] else ""
    return (
        f"z(x, y1) against z(x, y2) from {' and '.join(found['references'])}: {found['sentences']} sentences"
        f"{f', without {without}' if without else ''}{unknown}\n"
        f"positions matched to themselves: {100 * found['matched_to_itself']:.1f} % of {found['positions']} "
        f"({100 * found['chance']:.1f} % by chance), places moved on average: {found['mean_displacement']:.2f}; "
        f"sentences where none moved: {100 * found['sentences_unmoved']:.1f} %\n"
        f"mean distance to itself {found['distance_to_itself']:.4f}, to the match {found['distance_to_match']:.4f}, "
        f"to any position {found['distance_to_any']:.4f}"
    )


def example_text(sentence: AlignedSentence) -> str:
    """One sentence, its translations and its alignment; positions that moved are named."""
    words, alignment = sentence.words, sentence.alignment
    moved = ", ".join(
        f"{words[position]} → {words[match]}" for position, match in enumerate(alignment.matches) if position != match
    )
    return "\n".join(
        [
            f"sentence {sentence.index + 1}: {' '.join(words)}",
            *(f"  y{number}: {text}" for number, text in enumerate(sentence.translations, start=1)),
            f"  {alignment_text(sentence)}",
            f"  moved: {moved or 'none'}",
        ]
    )


def tsv(rows: Iterable[Row]) -> str:
    """The numbers of the plot, one a line: components and dimensions are counted from 1."""
    lines = ["\t".join(TSV_COLUMNS)]
    for row in rows:
        measures = {
            "explained_variance_ratio": row["pca"]["explained_variance_ratio"],
            "cumulative_ratio": row["pca"]["cumulative_ratio"],
            "kl_nats": row["kl"]["nats"],
        }
        for measure, values in measures.items():
            for index, value in enumerate(values, start=1):
                cells = (row["system"].replace("\t", " "), row["split"], measure, str(index), f"{value:.8g}")
                lines.append("\t".join(cells))
    return "".join(f"{line}\n" for line in lines)


def positions_tsv(sentences: Sequence[AlignedSentence]) -> str:
    """Every position of every sentence; sentences are counted from 1, positions from 0."""
    lines = ["\t".join(POSITIONS_COLUMNS)]
    for sentence in sentences:
        found, words = sentence.alignment, sentence.words
        for position, (match, itself, matched) in enumerate(
            zip(found.matches, found.to_itself, found.to_match, strict=True)
        ):
            cells = (sentence.index + 1, position, words[position], match, words[match])
            lines.append("\t".join([*map(str, cells), f"{itself:.6g}", f"{matched:.6g}"]))
    return "".join(f"{line}\n" for line in lines)
