"""Gu & Kong 2021, Table 4: which techniques each row combines, as configurations of ours."""

from __future__ import annotations

from typing import NamedTuple

from nat_plugin.errors import UserError


class Combination(NamedTuple):
    """One row of the table."""

    techniques: str
    """In the paper's order, joined by " + "."""
    method: str
    """A file of configs/method."""
    paper_bleu: float
    """WMT'14 En-De, base size."""
    margin: float
    """BLEU above the untrained model that a row has to exceed: half of what a first run gave (docs/combinations.md)."""

    @property
    def is_distilled(self) -> bool:
        return "KD" in self.techniques.split(" + ")

    def data(self, name: str) -> str:
        """The data configuration, given that of the raw text."""
        return f"{name}_kd" if self.is_distilled else name


TABLE_4 = (
    Combination("none", "nat", 11.40, 4.14),
    Combination("KD", "nat", 19.50, 5.93),
    Combination("AXE", "axe", 16.59, 6.06),
    Combination("KD + AXE", "axe", 21.66, 8.82),
    Combination("CTC", "ctc", 18.18, 0.45),
    Combination("KD + CTC", "ctc", 26.51, 2.21),
    Combination("CTC + VAE", "ctc_vae", 23.58, 0.08),
    Combination("KD + AXE + VAE", "axe_vae", 22.19, 3.02),
    Combination("KD + CTC + VAE", "ctc_vae", 27.49, 0.07),
    Combination("KD + AXE + RND", "axe_rnd", 22.74, 6.3),
    Combination("KD + AXE + GLAT", "axe_glat", 24.67, 7.94),
    Combination("KD + CTC + RND", "ctc_rnd", 26.16, 1.09),
    Combination("CTC + GLAT", "ctc_glat", 21.81, 1.29),
    Combination("KD + CTC + GLAT", "ctc_glat", 27.20, 1.71),
    Combination("KD + CTC + VAE + GLAT", "ctc_vae_glat", 27.21, 1.0),
)


def find(names: list[str]) -> list[Combination]:
    """The rows called so, in the table's order; all of them for no names.

    Raises:
        UserError: there is no such row.
    """
    known = {row.techniques: row for row in TABLE_4}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"there is no row {unknown[0]!r}: it must be one of {', '.join(map(repr, known))}.")
    return [row for row in TABLE_4 if not names or row.techniques in names]
