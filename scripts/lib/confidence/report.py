"""Position confidence as a table and as lines of numbers."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from scripts.lib.results import Row

TSV_COLUMNS = ("system", "split", "bucket", "measure", "x", "value", "count")


def confidence_table(row: Row) -> str:
    """A line a bucket: Figure 3's probabilities, and means over all slots that say a token."""
    distances = [point["distance"] for point in row["buckets"][0]["distances"]]
    body = [
        [
            bucket["bucket"],
            bucket["sentences"],
            *(_number(point["probability"]) for point in bucket["distances"]),
            _number(_mean(bucket, "entropy")),
            f"{100 * (1 - bucket['tokens'] / bucket['slots']):.1f}",
        ]
        for bucket in row["buckets"]
    ]
    headers = ["tokens", "sentences", *(f"{distance:+d}" if distance else "0" for distance in distances)]
    headers += ["entropy", "blank %"]
    shown = tabulate(body, headers, colalign=("left", *("right",) * (len(headers) - 1)), disable_numparse=True)
    return (
        f"{row['system']}, {row['split']}: probability of a token so many slots away from the one that says it\n{shown}"
    )


def tsv(rows: Iterable[Row]) -> str:
    """The numbers of the plot, one a line."""
    lines = ["\t".join(TSV_COLUMNS)]
    for row in rows:
        for bucket in row["buckets"]:
            cells = [
                *(("probability", p["distance"], p["probability"], p["pairs"]) for p in bucket["distances"]),
                *(("own_probability", p["place"], p["probability"], p["tokens"]) for p in bucket["places"]),
                *(("entropy", p["place"], p["entropy"], p["tokens"]) for p in bucket["places"]),
                *(("blank", p["place"], _blank(p), p["slots"]) for p in bucket["places"]),
            ]
            for measure, x, value, count in cells:
                if value is not None:
                    named = (row["system"].replace("\t", " "), row["split"], bucket["bucket"], measure)
                    lines.append("\t".join([*named, f"{x:g}", f"{value:.8g}", str(count)]))
    return "".join(f"{line}\n" for line in lines)


def _blank(point: Row) -> float | None:
    return 1 - point["tokens"] / point["slots"] if point["slots"] else None


def _mean(bucket: Row, name: str) -> float | None:
    """Over the slots of all places."""
    known = [point for point in bucket["places"] if point["tokens"]]
    total = sum(point["tokens"] for point in known)
    return sum(point[name] * point["tokens"] for point in known) / total if total else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
