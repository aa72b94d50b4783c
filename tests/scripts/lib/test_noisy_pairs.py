"""The rules by which noise is left out."""

from __future__ import annotations

import pytest

from nat_plugin.errors import UserError
from scripts.lib.noisy_pairs import DEFAULTS, NoiseFilter, parse_limits

GOOD = ("私は昨日、東京で2020年の新聞を読みました。", "Yesterday I read a newspaper of 2020 in Tokyo.")


class TestRules:
    @pytest.mark.parametrize(
        "pair",
        [
            GOOD,
            ("それは素晴らしい。", "That is wonderful."),
            ("１２３４人が参加した。", "A total of 1234 people took part."),  # full-width digits
            ("百人が参加した。", "A total of 100 people took part."),
            ("データをWindowsからコピーします。", "Copies the data from Windows."),
        ],
    )
    def test_good_pairs_are_kept(self, pair: tuple[str, str]) -> None:
        noise = NoiseFilter(DEFAULTS, ("ja", "en"))
        assert noise.keep(pair), noise.dropped

    @pytest.mark.parametrize(
        ("rule", "pair"),
        [
            ("max-chars", (GOOD[0] * 50, GOOD[1])),
            ("min-units", (GOOD[0], "Yesterday.")),
            ("min-units", ("はい", GOOD[1])),
            ("byte-ratio", (GOOD[0], "I read it.")),
            ("letters", ("★★★★★★★★★★★★★★★★★★★★★★あ", "This is about stars, stars and stars.")),
            ("digits", ("03-1234-5678 0120-44-4444 まで", "Call 03-1234-5678 or 0120-44-4444 today, please.")),
            ("script", ("This is no Japanese sentence.", "This was an English sentence.")),
            ("script", (GOOD[0], "私は昨日、東京で 2020 年の新聞を 読みました。")),
            ("copied", ("Windows Server 2012 R2 を", "Windows Server 2012 R2")),
            ("numbers", ("会議は1998年に開かれました。", "The meeting was held in 2004, they say.")),
            ("marks", ("一つ。二つ。三つ。四つ。五つ。六つ。", "One two three four five six seven eight.")),
            ("encoding", (GOOD[0], "Itâ\x80\x99s the cafÃ©, they say, in Tokyo, and it is good.")),
        ],
    )
    def test_each_rule(self, rule: str, pair: tuple[str, str]) -> None:
        noise = NoiseFilter({rule: DEFAULTS[rule]}, ("ja", "en"))
        assert not noise.keep(pair)
        assert noise.dropped == {rule: 1}
        assert noise.keep(GOOD)
        assert noise.dropped == {rule: 1}

    def test_identical_sides_are_a_copy(self) -> None:
        noise = NoiseFilter({"copied": 0.6}, ("de", "en"))
        assert not noise.keep(("Impressum", "impressum"))
        assert noise.keep(("Berlin", "The city of Berlin"))

    def test_a_language_of_unknown_script_is_let_pass(self) -> None:
        assert NoiseFilter({"script": 0.5}, ("qke", "en")).keep(("абв где", "an English sentence"))

    def test_counts_go_to_the_first_rule(self) -> None:
        noise = NoiseFilter(DEFAULTS, ("ja", "en"))
        kept = [noise.keep(pair) for pair in (GOOD, ("はい", "Yes."), ("", ""), (GOOD[0], GOOD[0]), GOOD)]
        assert kept == [True, False, False, False, True]
        assert noise.dropped == {"min-units": 3}


class TestLimits:
    def test_changed_and_left_out(self) -> None:
        limits = parse_limits(["numbers=off", "byte-ratio=4"])
        assert limits["byte-ratio"] == 4
        assert "numbers" not in limits
        assert list(limits) == [rule for rule in DEFAULTS if rule != "numbers"]

    def test_none(self) -> None:
        assert parse_limits([]) == DEFAULTS
        assert parse_limits(["off"]) == {}

    @pytest.mark.parametrize(("value", "message"), [("ratio=3", "no rule 'ratio'"), ("marks=few", "as in marks=3")])
    def test_refused(self, value: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            parse_limits([value])
