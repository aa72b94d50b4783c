"""The parts of scripts/prepare.py one by one: text, subwords, workers, stages, downloads, fairseq-preprocess."""

from __future__ import annotations

import errno
import hashlib
import http.server
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.errors import UserError
from scripts.lib import subwords
from scripts.lib.binarise import preprocess
from scripts.lib.downloads import LOCK, Download, difference, fetch
from scripts.lib.stages import Stage, StageStore
from scripts.lib.text import (
    Detokenizer,
    Normaliser,
    RomanianKind,
    SubwordKind,
    Tokenizer,
    default_tokenizer,
    join_line_breaks,
    protect,
    unprotect,
)
from scripts.lib.workers import map_in_order

RESERVED = ["<mask>", "<blank>", "<unk>", "<pad>", "<s>", "</s>"]
AWKWARD = [*RESERVED, "<<mask>", "x<s>y", "@@", "a@@", "▁", "▁▁", "madeupword0001", "ﬀ", "e\u0301", "&amp;"]


class TestText:
    def test_moses(self) -> None:
        tokens = Tokenizer("en", "moses", "bpe")('He said: "don\'t [go], A&B!"')
        assert tokens == "He said : &quot; don &apos;t &#91; go &#93; , A &amp; B ! &quot;"
        assert Detokenizer("en", "moses")(tokens) == 'He said: "don\'t [go], A & B!"'

    def test_jieba(self) -> None:
        pytest.importorskip("rjieba")
        text = "我们在2017年用Microsoft Word写了3.5页，很快。"
        tokens = Tokenizer("zh", "jieba", "bpe")(text)
        assert {"我们", "Microsoft", "Word", "很快"} <= set(tokens.split())
        assert Detokenizer("zh", "jieba")(tokens) == text

    def test_jieba_is_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "rjieba", None)
        with pytest.raises(UserError, match=r"nat_plugin\[zh\]"):
            Tokenizer("zh", "jieba", "bpe")

    def test_lower_case(self) -> None:
        tokenise = Tokenizer("en", "moses", "bpe", lowercase=True)
        assert tokenise("He met Mr. X & Co today.") == "he met mr. x &amp; co today ."

    @pytest.mark.parametrize(("kind", "expected"), [("as-is", "ţară Şi"), ("comma", "țară Și"), ("plain", "tara Si")])
    def test_romanian(self, kind: RomanianKind, expected: str) -> None:
        assert Normaliser("ro", punctuation=False, romanian=kind)("ţară Şi") == expected
        assert Normaliser("tr", punctuation=False, romanian=kind)("Şi") == "Şi", "Turkish has that letter"

    def test_normalisation(self) -> None:
        assert Normaliser("de", punctuation=True)("„Cafe\u0301“ – so\u2028weiter…") == '"Café" - so weiter...'
        assert Normaliser("de", punctuation=False)("„Cafe\u0301“") == "„Café“"

    @pytest.mark.parametrize("separator", list("\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))
    def test_separators(self, separator: str) -> None:
        assert join_line_breaks(f"a{separator}b") == "a b"
        assert len(f"a{separator}b".splitlines()) == 2, "or else nothing had to be done"

    @pytest.mark.parametrize("subword", ["bpe", "sentencepiece", "none"])
    @given(words=st.lists(st.one_of(st.sampled_from(AWKWARD), st.text("ab<>/s@▁", min_size=1)), min_size=1))
    def test_protection_is_undone(self, subword: SubwordKind, words: list[str]) -> None:
        line = " ".join(words)
        protected = protect(line, subword)
        assert unprotect(protected) == line
        assert not any(symbol in protected for symbol in RESERVED)
        if subword == "bpe":
            assert not any(word.endswith("@@") for word in protected.split())
        if subword == "sentencepiece":
            assert "▁" not in protected

    @given(text=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30).filter(str.strip))
    def test_characters_are_undone(self, text: str) -> None:
        text = " ".join(text.replace("▁", "_").split())
        tokens = Tokenizer("ja", "char", "none")(text)
        assert all(len(token) == 1 for token in tokens.split(" "))
        assert Detokenizer("ja", "char")(tokens) == text

    def test_default_tokenizers(self) -> None:
        assert default_tokenizer("de", "bpe") == "moses"
        assert default_tokenizer("qke", "bpe") == "none"
        assert default_tokenizer("ja", "sentencepiece") == "none"
        with pytest.raises(UserError, match="ja=char"):
            default_tokenizer("ja", "bpe")


class TestSubwords:
    @pytest.fixture(scope="class")
    @staticmethod
    def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("text") / "train"
        tokenise = Tokenizer("en", "none", "bpe")
        path.write_text(
            "".join(tokenise(f"the dogs {word} run around lower newest wider") + "\n" for word in AWKWARD * 4)
        )
        return path

    @pytest.mark.parametrize(("kind", "size"), [("bpe", 30), ("sentencepiece", 45)])
    def test_undone(self, kind: SubwordKind, size: int, text: Path, tmp_path: Path) -> None:
        model = tmp_path / subwords.model_name(kind, None)
        subwords.learn(kind, [text], model, size)
        segment = subwords.load(kind, model)
        tokenise, detokenise = Tokenizer("en", "none", kind), Detokenizer("en", "none")
        for line in [*AWKWARD, "the newest dogs", "völlig unbekannt @@ x", "a  b"]:
            tokens = tokenise(line)
            pieces = segment(tokens)
            assert list(subwords.undo_subwords([pieces + "\n"], kind)) == [tokens]
            assert detokenise(tokens) == " ".join(line.split())
            assert not set(pieces.split()) & set(RESERVED)
        assert len(segment("new words").split()) > 2

    def test_the_same_text_gives_the_same_model(self, text: Path, tmp_path: Path) -> None:
        for kind, size in (("bpe", 30), ("sentencepiece", 45)):
            models = [tmp_path / f"{kind}{number}" for number in range(2)]
            for model in models:
                subwords.learn(kind, [text], model, size)  # type: ignore[arg-type]
            assert models[0].read_bytes() == models[1].read_bytes()

    def test_none(self) -> None:
        assert subwords.load("none", Path("never read"))("a b@@ c") == "a b@@ c"
        assert list(subwords.undo_subwords(["a b@@ c\n"], "none")) == ["a b@@ c"]


def _squarer() -> Callable[[int], int]:
    return _square


def _square(number: int) -> int:
    if number < 0:
        raise UserError(f"{number} is negative: give another.")
    return number * number


def _killer() -> Callable[[int], int]:
    return lambda number: os.kill(os.getpid(), signal.SIGKILL) or number


class TestWorkers:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_order(self, workers: int) -> None:
        assert list(map_in_order(_squarer, range(40), workers)) == [number**2 for number in range(40)]

    def test_only_a_few_items_are_read_ahead(self) -> None:
        read = []

        def items() -> Iterator[int]:
            for number in range(1000):
                read.append(number)
                yield number

        results = map_in_order(_squarer, items(), 2)
        assert next(results) == 0
        assert len(read) < 20
        results.close()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_errors_arrive(self, workers: int) -> None:
        with pytest.raises(UserError, match="-1 is negative"):
            list(map_in_order(_squarer, [1, -1, 2], workers))

    def test_killed_worker(self) -> None:
        with pytest.raises(UserError, match="fewer --workers"):
            list(map_in_order(_killer, [1], 2))


class TestStages:
    @staticmethod
    def stage(folder: Path, key: str, work: Callable[[Path], dict[str, Any]]) -> Stage:
        return Stage("one", "describe", key, folder, work)

    def test_failed_work_leaves_nothing(self, tmp_path: Path) -> None:
        def fail(folder: Path) -> dict[str, Any]:
            (folder / "half").write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        store = StageStore(tmp_path / ".stages")
        stage = self.stage(tmp_path, "a", fail)
        with pytest.raises(OSError, match="No space"):
            store.run(stage)
        assert not store.is_done(stage)
        assert [path.name for path in tmp_path.rglob("*")] == [".stages"]

    def test_files_that_are_made_no_more_go(self, tmp_path: Path) -> None:
        def write(names: list[str], folder: Path) -> dict[str, Any]:
            for name in names:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(name)
            return {"names": names}

        store = StageStore(tmp_path / ".stages")
        old, new = (
            self.stage(tmp_path, key, partial(write, names)) for key, names in (("a", ["sub/x", "y"]), ("b", ["y"]))
        )
        store.run(old)
        assert store.is_done(old)
        assert not store.is_done(new)
        store.run(new)
        assert store.result(new) == {"names": ["y"]}
        assert not (tmp_path / "sub" / "x").exists()
        (tmp_path / "y").write_text("touched by another")
        assert not store.is_done(new)


class TestPreprocess:
    def test_failure_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"No module named fairseq_cli.nothing\): its whole output is in .*log"):
            preprocess(["fairseq-nothing"], tmp_path / "log")

    def test_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = "raise OSError(28, 'No space left on device')"
        monkeypatch.setattr("scripts.lib.binarise.executable", lambda name: [sys.executable, "-c", program])
        with pytest.raises(OSError, match="No space left") as caught:
            preprocess(["fairseq-preprocess"], tmp_path / "log")
        assert caught.value.errno == errno.ENOSPC


CONTENT = bytes(range(256)) * 1000


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /file with ranges, /stubborn without them; /broken ends early once."""

    requests: ClassVar[list[tuple[str, str | None]]] = []
    broken: ClassVar[bool] = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.requests.append((self.path, wanted))
        if self.path == "/nothing":
            self.send_error(404)
            return
        start = int(wanted[len("bytes=") : -1]) if wanted and self.path != "/stubborn" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        if self.path == "/broken" and type(self).broken:
            type(self).broken = False
            self.wfile.write(CONTENT[start : start + 100_000])
        else:
            self.wfile.write(CONTENT[start:])

    def log_message(self, *args: Any) -> None:
        pass


class TestDownloads:
    @pytest.fixture
    def server(self) -> Iterator[str]:
        _Server.requests, _Server.broken = [], True
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    @staticmethod
    def checksum(content: bytes) -> str:
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def test_broken_connection_is_resumed(self, server: str, tmp_path: Path) -> None:
        path = tmp_path / "raw" / "file"
        download = Download((f"{server}/broken",), self.checksum(CONTENT))
        with pytest.raises(UserError, match="run the same command again to resume"):
            fetch(download, path)
        assert not path.exists()
        fetch(download, path)
        assert path.read_bytes() == CONTENT
        assert _Server.requests[-1] == ("/broken", "bytes=100000-")
        assert [file.name for file in path.parent.iterdir()] == ["file"]
        fetch(download, path)
        assert len(_Server.requests) == 2, "what is there is not fetched again"

    @pytest.mark.parametrize("name", ["file", "stubborn"])
    def test_complete_or_unwanted_part(self, name: str, server: str, tmp_path: Path) -> None:
        (tmp_path / "x.part0").write_bytes(CONTENT)
        fetch(Download((f"{server}/{name}",), self.checksum(CONTENT)), tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == CONTENT

    def test_parts_are_joined(self, server: str, tmp_path: Path) -> None:
        fetch(Download((f"{server}/file", f"{server}/stubborn"), self.checksum(CONTENT * 2)), tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == CONTENT * 2

    def test_another_content_is_refused(self, server: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="is not the file that this recipe was made for"):
            fetch(Download((f"{server}/file",), self.checksum(b"")), tmp_path / "x")
        assert list(tmp_path.iterdir()) == []

    def test_another_size_is_refused(self, server: str, tmp_path: Path) -> None:
        download = Download((f"{server}/file",), self.checksum(CONTENT), len(CONTENT) + 1)
        with pytest.raises(UserError, match=f"{len(CONTENT) + 1} bytes expected, {len(CONTENT)} found"):
            fetch(download, tmp_path / "x")
        assert list(tmp_path.iterdir()) == []

    def test_mirror(self, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        mirrors = ("http://127.0.0.1:9/x", f"{server}/file")
        fetch(Download((f"{server}/nothing",), self.checksum(CONTENT), mirrors=mirrors), tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == CONTENT
        assert f"Trying {server}/file." in capsys.readouterr().out
        with pytest.raises(UserError, match=r"127.0.0.1:9/x cannot be fetched"):
            fetch(Download((f"{server}/nothing",), None, mirrors=mirrors[:1]), tmp_path / "y")

    def test_without_a_published_checksum(self, server: str, tmp_path: Path) -> None:
        download = Download((f"{server}/file",))
        fetch(download, tmp_path / "x")
        assert json.loads((tmp_path / LOCK).read_text())["x"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert difference(download, tmp_path / "x") is None
        (tmp_path / "x").write_bytes(CONTENT[1:])
        assert "when it was fetched the first time" in str(difference(download, tmp_path / "x"))
        (tmp_path / LOCK).write_text("{")
        with pytest.raises(UserError, match="is damaged"):
            difference(download, tmp_path / "x")

    def test_missing(self, server: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"404.*--raw"):
            fetch(Download((f"{server}/nothing",), self.checksum(b"")), tmp_path / "x")
        with pytest.raises(UserError, match=r"cannot be fetched.*--raw"):
            fetch(Download(("http://127.0.0.1:9/x",), self.checksum(b"")), tmp_path / "y")
