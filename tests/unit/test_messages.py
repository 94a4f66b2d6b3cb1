# SPDX-License-Identifier: Apache-2.0
"""Headlines for failures: every code, in every language."""

import pytest

from bifrost.errors import Code
from bifrost.messages import _HEADLINES, LANGUAGES, localized
from bifrost.model.language import fallbacks


def test_every_failure_has_every_language():
    assert set(Code) == set(_HEADLINES)
    for code in Code:
        texts = [localized(code, language) for language in LANGUAGES]
        assert len(LANGUAGES) == len(set(texts)), code
        assert all(text == text.strip() and text for text in texts)


def test_no_two_failures_have_one_headline():
    for language in LANGUAGES:
        assert len(Code) == len({localized(code, language) for code in Code})


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("de", "Zugriff verweigert"),
        ("de-AT", "Zugriff verweigert"),
        ("de_DE.UTF-8", "Zugriff verweigert"),
        ("DE", "Zugriff verweigert"),
        ("fr-CA", "Accès refusé"),
        ("ja", "アクセスが拒否されました"),
        ("en-US", "Permission denied"),
        ("sw", "Permission denied"),
        ("", "Permission denied"),
        ("C", "Permission denied"),
        ("not a language", "Permission denied"),
    ],
)
def test_a_language_that_there_is_none_of_is_english(locale, expected):
    assert expected == localized(Code.PERMISSION_DENIED, locale)


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("de-AT", ("de-AT", "de")),
        ("DE-at", ("de-AT", "de")),
        ("zh-hant-tw", ("zh-Hant-TW", "zh-Hant", "zh")),
        ("en_US.UTF-8@euro", ("en-US", "en")),
        ("es-419", ("es-419", "es")),
        ("POSIX", ()),
        ("C.UTF-8", ()),
        ("", ()),
        ("-", ()),
        ("de-", ()),
        ("de AT", ()),
        ("a" * 36, ()),
        ("dé", ()),
    ],
)
def test_a_language_falls_back_to_a_more_general_one(locale, expected):
    assert expected == fallbacks(locale)
