"""What clients call languages."""

import pytest

from serve_app.protocol.languages import AUTO, LANGUAGES, known_language, language_code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("en", "en"), ("en-US", "en"), ("EN_us", "en"), ("English", "en"), (" de-DE ", "de"),
        ("jp", "ja"), ("zh-Hans-CN", "zh"), ("Haitian Creole", "ht"), ("auto", AUTO),
        ("yue", "yue"),
        ("xx", ""), ("e", ""), ("", ""), ("klingon", ""),
    ],
)  # fmt: skip
def test_names_become_codes(name: str, code: str) -> None:
    assert language_code(name) == code


def test_every_code_stands_for_itself() -> None:
    assert [language_code(code) for code in LANGUAGES] == list(LANGUAGES)


def test_a_setting_has_to_be_a_language() -> None:
    assert known_language("German") == "de"
    with pytest.raises(ValueError, match="'xx' is no language of Whisper's"):
        known_language("xx")
