"""The languages of the multilingual Whisper models, and what clients call them."""

AUTO = "auto"
"""Whisper finds out the language of each utterance."""
ENGLISH = "en"

LANGUAGES = {
    "en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian",
    "ko": "korean", "fr": "french", "ja": "japanese", "pt": "portuguese", "tr": "turkish",
    "pl": "polish", "ca": "catalan", "nl": "dutch", "ar": "arabic", "sv": "swedish",
    "it": "italian", "id": "indonesian", "hi": "hindi", "fi": "finnish", "vi": "vietnamese",
    "he": "hebrew", "uk": "ukrainian", "el": "greek", "ms": "malay", "cs": "czech",
    "ro": "romanian", "da": "danish", "hu": "hungarian", "ta": "tamil", "no": "norwegian",
    "th": "thai", "ur": "urdu", "hr": "croatian", "bg": "bulgarian", "lt": "lithuanian",
    "la": "latin", "mi": "maori", "ml": "malayalam", "cy": "welsh", "sk": "slovak",
    "te": "telugu", "fa": "persian", "lv": "latvian", "bn": "bengali", "sr": "serbian",
    "az": "azerbaijani", "sl": "slovenian", "kn": "kannada", "et": "estonian", "mk": "macedonian",
    "br": "breton", "eu": "basque", "is": "icelandic", "hy": "armenian", "ne": "nepali",
    "mn": "mongolian", "bs": "bosnian", "kk": "kazakh", "sq": "albanian", "sw": "swahili",
    "gl": "galician", "mr": "marathi", "pa": "punjabi", "si": "sinhala", "km": "khmer",
    "sn": "shona", "yo": "yoruba", "so": "somali", "af": "afrikaans", "oc": "occitan",
    "ka": "georgian", "be": "belarusian", "tg": "tajik", "sd": "sindhi", "gu": "gujarati",
    "am": "amharic", "yi": "yiddish", "lo": "lao", "uz": "uzbek", "fo": "faroese",
    "ht": "haitian creole", "ps": "pashto", "tk": "turkmen", "nn": "nynorsk", "mt": "maltese",
    "sa": "sanskrit", "lb": "luxembourgish", "my": "myanmar", "bo": "tibetan", "tl": "tagalog",
    "mg": "malagasy", "as": "assamese", "tt": "tatar", "haw": "hawaiian", "ln": "lingala",
    "ha": "hausa", "ba": "bashkir", "jw": "javanese", "su": "sundanese", "yue": "cantonese",
}  # fmt: skip
"""By code (ISO 639-1 where it has one), as in openai/whisper's tokenizer.py: those with the most
training data first."""
LATER_LANGUAGES = ("yue",)
"""What the first models, up to large-v2, do not know."""

_OTHER_NAMES = {
    "burmese": "my", "valencian": "ca", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb",
    "pushto": "ps", "panjabi": "pa", "moldavian": "ro", "moldovan": "ro", "sinhalese": "si",
    "castilian": "es", "mandarin": "zh", "jp": "ja", "cn": "zh", "kr": "ko", "iw": "he", "in": "id",
    "nb": "no", "fil": "tl", "jv": "jw",
}  # fmt: skip
"""More names, and codes that people write for these languages."""
_CODES = {name: code for code, name in LANGUAGES.items()} | _OTHER_NAMES


def known_language(name: str) -> str:
    """`language_code`, for a setting. Raises ValueError."""
    if code := language_code(name):
        return code
    raise ValueError(f"{name!r} is no language of Whisper's; take a code such as en, de or ja")


def language_code(name: str) -> str:
    """The code for `en`, `en-US`, `EN_us` or `English`; `auto` for itself; empty if there is no
    such language here."""
    plain = name.strip().lower().replace("_", "-")
    for candidate in (plain, plain.partition("-")[0]):
        if candidate == AUTO or candidate in LANGUAGES:
            return candidate
        if candidate in _CODES:
            return _CODES[candidate]
    return ""
