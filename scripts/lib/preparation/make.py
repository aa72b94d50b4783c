"""Doing what is not done yet, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import shell
from scripts.lib.generation import displayed_path
from scripts.lib.preparation.job import STAGES, Job, library_versions
from scripts.lib.preparation.plan import shown_command, store
from scripts.lib.preparation.sizes import compare
from scripts.lib.stages import Stage, exclusive

RECORD = "prepare.json"
_VERSIONS = ("sacremoses", "rjieba", "subword-nmt", "sentencepiece", "fairseq", "fairseq-fixed", "torch", "numpy")


def make(job: Job, stages: Sequence[Stage], command: str) -> dict[str, Any]:
    """Do what is not done yet.

    Returns:
        What is in ``prepare.json``.

    Raises:
        UserError: bad input, as the message says; or another process is writing the same folder.
    """
    record = job.output / RECORD
    refuse_foreign(job.output)
    with exclusive(job.output / STAGES / "lock"):
        done = store(job)
        done.clear_unfinished()
        for stage in stages:
            if done.is_done(stage):
                print(f"done already: {stage.describe}")
                continue
            if record.is_file():
                print(f"{job.output} held data made from other text or options: models trained on it will not fit.")
                record.unlink()  # the folder is unfinished from now on
            print(stage.describe, flush=True)
            if stage is stages[-1]:
                print(shell(shown_command(job)), flush=True)
            done.run(stage)
        written = _record(job, stages, command)
        off = [row["off"] for row in written["sizes"] if row["off"]]
        if off and job.strict:
            raise UserError(f"{off[0]}: check the files and the options, or leave --strict out.")
        if not record.is_file():
            write_json(record, written)
    return written


def refuse_foreign(output: Path) -> None:
    """Nothing of ours is written among a user's other files."""
    if output.is_dir() and any(output.iterdir()) and not any((output / name).exists() for name in (STAGES, RECORD)):
        raise UserError(f"--output {output} holds other files: name a new folder, or one that this script wrote.")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file: name a folder.")


def _record(job: Job, stages: Sequence[Stage], command: str) -> dict[str, Any]:
    options = job.options
    counts = _counts(job, stages)
    return {
        "source_lang": job.languages[0],
        "target_lang": job.languages[1],
        "command": command,
        "preprocess_command": shell(shown_command(job)),
        "versions": library_versions(*_VERSIONS),
        "options": {
            "tokenizer": dict(options.tokenizer),
            "normalise_punctuation": options.normalise_punctuation,
            "subword": options.subword,
            "bpe_merges": options.subword_size if options.subword == "bpe" else None,
            "vocab_size": options.subword_size if options.subword == "sentencepiece" else None,
            "joint_subwords": options.joint_subwords,
            "joined_dictionary": options.joined_dictionary,
            "min_count": options.min_count,
            "max_tokens": options.max_tokens,
            "max_test_tokens": options.max_test_tokens,
            "max_ratio": options.max_ratio,
            "drop_duplicates": options.drop_duplicates,
            "replace_invalid_utf8": options.replace_invalid_utf8,
            "lowercase": options.lowercase,
            "romanian": options.romanian,
            "count_words": options.count_words,
            "filter_noise": next((a.limits for a in job.assemblies.values() if a.limits), None),
        },
        "counts": counts,
        "sizes": compare(job.sizes, counts),
        "dictionary": _dictionary_sizes(job, stages),
        "sha256": {displayed_path(path): digest for path, digest in job.inputs.items()},
    }


def _counts(job: Job, stages: Sequence[Stage]) -> dict[str, dict[str, Any]]:
    """What a finished job's stages counted, by split."""
    results = {stage.name: store(job).result(stage) for stage in stages}
    counts = {
        split: {**results[f"segment-{split}"], **results[f"tokenise-{split}"], **results["binarise"]["splits"][split]}
        for split in job.files
    }
    for split in job.assemblies:
        counts[split]["assembled"] = results[f"assemble-{split}"]
    return counts


def _dictionary_sizes(job: Job, stages: Sequence[Stage]) -> dict[str, int]:
    """Entries of each language's dictionary, fairseq's own symbols and ours included."""
    sizes: dict[str, int] = store(job).result(stages[-1])["dictionaries"]
    return sizes
