"""Fetching what a recipe is made of: interrupted, resumed, and held to the first download."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scripts.lib.corpora.model import Collection
from scripts.lib.downloads import LOCK, Download
from scripts.lib.recipes import RECIPES
from scripts.prepare import main
from tests.scripts.prepare import miniatures
from tests.scripts.prepare.toy import use


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves a folder with ranges; the first answer of all ends early."""

    folder: ClassVar[Path]
    broken: ClassVar[bool] = True
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        content = (self.folder / self.path.lstrip("/")).read_bytes()
        start = int(wanted[len("bytes=") : -1]) if wanted else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + 100 if type(self).broken else len(content)
        type(self).broken = False
        self.wfile.write(content[start:end])

    def log_message(self, *args: Any) -> None:
        pass


class TestFetching:
    """IWSLT'14, for whose archive nobody publishes a checksum, from a server that breaks off once."""

    @pytest.fixture
    def raw(self, archives: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        raw = tmp_path / "data-raw"
        monkeypatch.setattr("scripts.lib.preparation.request.default_raw_folder", lambda corpus: raw)
        _Server.folder, _Server.broken, _Server.asked = tmp_path / "served", True, []
        shutil.copytree(archives["iwslt14"][0], _Server.folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/de-en.tgz"
            recipe = RECIPES["iwslt14_de_en"]
            assert isinstance(recipe.corpus, Collection)
            corpus = replace(recipe.corpus, files={"de-en.tgz": Download((url,))})
            use(monkeypatch, "iwslt14_de_en", replace(recipe, corpus=corpus))
            yield raw
            server.shutdown()

    @pytest.fixture
    def given(self, tmp_path: Path) -> list[str]:
        return ["iwslt14_de_en", "--output", str(tmp_path / "toy"), "--workers", "1", "--bpe-merges", "30"]

    def test_resumed_locked_and_compared(
        self,
        raw: Path,
        given: list[str],
        refused: Callable[[list[str]], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert "run the same command again to resume" in refused(given)
        assert not (raw / "de-en.tgz").exists()
        made: list[Path] = []
        monkeypatch.setattr("scripts.prepare.make", lambda job, stages, command: made.append(job.output) or {})
        monkeypatch.setattr("scripts.prepare.print_summary", lambda record, output: None)
        main(given)
        assert made, "what was fetched is prepared"
        assert _Server.asked == [("/de-en.tgz", None), ("/de-en.tgz", "bytes=100-")]
        assert (raw / "de-en.tgz").read_bytes() == (_Server.folder / "de-en.tgz").read_bytes()
        entry = json.loads((raw / LOCK).read_text())["de-en.tgz"]
        assert entry["size"] == (raw / "de-en.tgz").stat().st_size
        # Lost, and another file under the same address: it does not come in unnoticed.
        (raw / "de-en.tgz").unlink()
        miniatures.tgz(_Server.folder / "de-en.tgz", {"de-en/other": b"text"})
        sentence = refused(given)
        assert f"sha256:{entry['sha256']} when it was fetched the first time" in sentence
        assert str(raw / LOCK) in sentence
        assert not (raw / "de-en.tgz").exists()

    @pytest.mark.usefixtures("without_fairseq")
    def test_changed_on_the_disk(
        self, raw: Path, given: list[str], capsys: pytest.CaptureFixture[str], refused: Callable[[list[str]], str]
    ) -> None:
        _Server.broken = False
        main(given)
        assert f"note: {raw}" not in capsys.readouterr().out
        with open(raw / "de-en.tgz", "ab") as handle:
            handle.write(b"\0" * 512)
        assert "when it was fetched the first time" in refused([*given, "--strict"])
        main(given)
        assert f"note: {raw / 'de-en.tgz'} is not the file" in capsys.readouterr().out
