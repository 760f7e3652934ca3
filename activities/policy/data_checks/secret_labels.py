"""Finds secrets in text, which must not be sent outside without asking a person. Pure: no clock, no I/O.

A label means that a text looks enough like a secret to ask a person. Cards and IBANs are found by their checksum, keys
by the prefix that their issuer chose, everything else by a word next to it. Encoded or spelled-out secrets are not
found. Every regular expression is linear in the text: repetition is bounded or possessive, and never nested.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal

Label = Literal["card", "key", "iban", "passport", "account", "password", "token", "national-id"]


def secret_labels_in(text: str) -> frozenset[Label]:
    """The kinds of secret in `text`, which is searched as it is, and in NFKC without invisible characters."""
    readings = {text} if text.isascii() else {text, _without_invisible(text)}
    return frozenset(label for label, found in _LABELS.items() if any(found(reading) for reading in readings))


def _without_invisible(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text)
    unseen = {ord(c): None for c in set(folded) if unicodedata.category(c) == "Cf" or c in _UNSEEN}
    return folded.translate(unseen)


# Invisible characters that are not of category Cf: joiners, fillers, variation selectors.
_UNSEEN = frozenset(map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10))))


# ── cards and IBANs: found by a checksum ────────────────────────────────────────────────────────────────────────────

_DIGITS = re.compile(r"\d(?<![^\W_]\d)\d*+(?:[ \t.\u2010-\u2015-]{1,2}\d++)*+")
_PARTS = re.compile(r"\d+")
_FRACTION = re.compile(r"(?<!\d)\d{1,9}\.\d{7,17}(?!\d)")  # left out: one in fifty 17-digit floats would pass as a card
# Prefix and lengths of cards in use. Visa's old 13 digits are left out: they ended in the 1990s, and every EAN has 13.
_ISSUED = (
    (re.compile(r"4"), (16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|309|3[689]"), (14,)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16, 17, 18, 19)),
    (re.compile(r"6011|64[4-9]|65|62"), (16, 17, 18, 19)),
    (re.compile(r"5018|5020|5038|5893|6304|6759|676[1-3]"), tuple(range(13, 20))),
)
# Groups of digits in which cards are printed; used to find a card within a longer sequence of numbers. A sequence that
# is one card may be grouped in any way.
_PRINTED = ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3))


def _has_card(text: str) -> bool:
    return any(_is_card(number) for number in _card_shaped(text))


def _card_shaped(text: str) -> Iterator[str]:
    for run in _DIGITS.finditer(text):
        if run.end() - run.start() < 13 or text[run.start() - 1 : run.start()] == "+":  # "+": a telephone number
            continue
        parts = _PARTS.findall(_FRACTION.sub("#", run.group()))
        if sum(map(len, parts)) <= 19:
            yield "".join(parts)
        yield from (part for part in parts if 13 <= len(part) <= 19)
        lengths = [len(part) for part in parts]
        for start in (start for start in range(len(parts) - 2) if lengths[start] == 4):
            for shape in _PRINTED:
                if tuple(lengths[start : start + len(shape)]) == shape:
                    yield "".join(parts[start : start + len(shape)])


def _is_card(number: str) -> bool:
    issued = any(prefix.match(number) and len(number) in lengths for prefix, lengths in _ISSUED)
    return issued and len(set(number)) > 1 and _luhn(number)


_DOUBLED = str.maketrans("0123456789", "0246813579")  # digit -> the sum of the digits of its double (Luhn)


def _luhn(number: str) -> bool:
    return (sum(map(int, number[-1::-2])) + sum(map(int, number[-2::-2].translate(_DOUBLED)))) % 10 == 0


_IBAN = re.compile(
    r"\d(?<=[A-Za-z]{2}\d)(?<![^\W_][A-Za-z]{2}\d)\d(?=[ -]?[A-Za-z0-9])"
)  # matches from the first digit on
# SWIFT's IBAN registry: characters per country.
_IBAN_LENGTHS = {
    length: frozenset(countries.split())
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
}  # fmt: skip
_LENGTH_OF = {country: length for length, countries in _IBAN_LENGTHS.items() for country in countries}


_BASE_36 = str.maketrans({chr(ord("A") + n): str(10 + n) for n in range(26)})


def _has_iban(text: str) -> bool:
    return any(_is_iban(text, found.start() - 2) for found in _IBAN.finditer(text))


def _is_iban(text: str, start: int) -> bool:
    length = _LENGTH_OF.get(text[start : start + 2].upper())
    if length is None:
        return False
    joined = text[start : start + 2 * length].replace(" ", "").replace("-", "")[:length].upper()
    if len(joined) < length or not (joined.isascii() and joined.isalnum()):
        return False
    return int((joined[4:] + joined[:4]).translate(_BASE_36)) % 97 == 1


# ── keys, tokens and passwords: found by a prefix, or by a word before them ─────────────────────────────────────────

_LONG = 7  # a cue of this length may be part of a compound (Benutzerpasswort, userPassword); a shorter one may not


def _matches_after(starts: Mapping[str, re.Pattern[str]], text: str) -> Iterator[re.Match[str]]:
    """Matches of a pattern right after its start. `str.find` is about fifty times as fast as an alternation."""
    for start, pattern in starts.items():
        at = text.find(start)
        while at >= 0:
            is_whole_word = not text[at - 1 : at].isalnum()
            end = at + len(start)
            if (is_whole_word or len(start) >= _LONG) and (found := pattern.match(text, end)):
                yield found
            at = text.find(start, end)


def _any_of(starts: str, pattern: str) -> dict[str, re.Pattern[str]]:
    return dict.fromkeys(starts.split("|"), re.compile(pattern))


_KEYS = {
    **_any_of("-----BEGIN ", r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    **_any_of("AKIA|ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    **_any_of("AIza", r"[\w-]{35}"),
    **_any_of("sk_live_|sk_test_|rk_live_|rk_test_", r"[A-Za-z0-9]{16}"),
    **_any_of("sk-", r"(?=[A-Za-z_-]{0,60}+\d)[\w-]{20}"),
    **_any_of("SG.", r"[\w-]{16,32}\.[\w-]{16}"),
    **_any_of("AGE-SECRET-KEY-1", r"[A-Z0-9]{20}"),
}
_TOKENS = {
    **_any_of("ghp_|gho_|ghu_|ghs_|ghr_", r"[A-Za-z0-9]{20}"),
    **_any_of("github_pat_", r"\w{20}"),
    **_any_of("glpat-|ya29.", r"[\w-]{20}"),
    **_any_of("xoxa-|xoxb-|xoxe-|xoxe.|xoxo-|xoxp-|xoxr-|xoxs-|xapp-", r"[\w.-]{10}"),
    **_any_of("hf_|npm_", r"[A-Za-z0-9]{30}"),
    **_any_of("eyJ", r"(?<![\w-]eyJ)[\w-]{8,4000}+\.eyJ[\w-]{8,8000}+\.[\w-]{8}"),
}
# A generated value after a cue, and the cues for keys and tokens, all in lower case.
_GENERATED = r"[\"'`]{0,2}\s{0,3}(?:[:=]|=>|is|ist|est|es|lautet)?\s{0,3}[\"'`]{0,2}(?P<value>[a-z0-9+/_.~=-]{16,128})"
_KEY_CUES = _any_of(
    "api key|api-key|api_key|apikey|access key|access-key|access_key|accesskey|private key|private_key|privatekey"
    "|signing key|signing_key|encryption key|encryption_key|account key|accountkey|master key|master_key|service key"
    "|secret|secret key|secret_key|secretkey|secret access key|secret_access_key|credential|credentials"
    "|schlüssel|schluessel|clave|clé",
    _GENERATED,
)
_TOKEN_CUES = _any_of("token|bearer|session id|session_id|session-id|sessionid|jeton|cookie", _GENERATED)
_PASSWORD_CUES = _any_of(
    "password|passwd|passcode|passphrase|passwort|pwd|kennwort|zugangscode|mot de passe|mdp|contraseña|contrasena",
    r"(?:\s(?:for|of|to|für|von|pour|de)\s[^\s:=]{1,64}(?=:|\s(?:is|ist|est|es)\s))?"
    r"[\"'`]{0,2}\s{0,3}(?:(?P<strong>[:=]|=>)|(?<=\s)(?:(?:is|ist|lautet|est|es|now)(?=[\s:]):?)?)\s{0,3}"
    r"(?P<quote>[\"'`“„«]?)(?P<value>[^\s\"'`<>\[\]{}*•]{4,128})",
)
# Words that follow "password:" in prose, forms and logs and are no passwords.
_NO_PASSWORD = frozenset(
    "must should required optional none null true false click here please your this that when with reset forgot expired"
    " invalid incorrect wrong missing empty changed unknown redacted hidden masked undefined string text never enter"
    " same there what which they from into only after before will have been policy".split()
)


def _has_generated(prefixes: Mapping[str, re.Pattern[str]], cues: Mapping[str, re.Pattern[str]], text: str) -> bool:
    return any(_matches_after(prefixes, text)) or any(
        _is_random(found["value"]) for found in _matches_after(cues, text.lower())
    )


def _is_random(value: str) -> bool:
    """Whether a value looks generated: letters and digits, with an entropy above 3 bits a character.

    A hexadecimal key has up to 4.
    """
    if not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values()) > 3.0


def _has_password(text: str) -> bool:
    return any(_is_password(found) for found in _matches_after(_PASSWORD_CUES, text.lower()))


def _is_password(found: re.Match[str]) -> bool:
    value = found["value"].rstrip(".,;:!?)")
    if value in _NO_PASSWORD or len(value) < 4:
        return False
    mixed = any(c.isdigit() for c in value) and any(not c.isdigit() for c in value)
    return bool(found["strong"] or found["quote"]) or mixed


# ── other secret numbers: found by a word before them ───────────────────────────────────────────────────────────────

_FILLER = (
    r"(?:[\W_ºª]|(?:number|nummer|num[ée]ro|n[úu]mero|card|bank|bancaire|bancaria|num|nro|nr|no|n|id|s|is|ist|lautet|est|es"
    r"|de|der|du)(?![^\W\d_])){0,16}+"
)
_NUMBER = r"(?P<value>[a-z]{0,3}[ -]?\d[a-z\d]{0,20}(?:[ ./-]\d[a-z\d]{0,20}){0,7})"
_DATE = re.compile(
    r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|(?:19|20)\d{2}(?:0[1-9]|1[0-2])[0-3]\d"
)
_PASSPORT_CUES = "passport|reisepass|passnummer|passnr|passeport|pasaporte|passaporto"
_ACCOUNT_CUES = "account|acct|a/c|konto|compte|cuenta|sort code|sort-code|routing|bankleitzahl|blz|iban|bic"
_NATIONAL_CUES = (
    "ssn|social security|national id|national_id|national-id|national identity|national insurance|nino|nhs|tax id"
    "|tax_id|taxpayer id|id card|identity card|ausweis|steuer-id|steuerid|steueridentifikationsnummer"
    "|sozialversicherung|rentenversicherung|sécurité sociale|securite sociale"
    "|nir|carte d'identité|carte d\u2019identité"
    "|dni|nie|nif|seguridad social|documento de identidad|cédula|cedula"
)
_BARE_SSN = re.compile(r"\d(?<![\w.-]\d)(?<!9)\d{2}(?<!000)(?<!666)-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")


def _has_number_after(cues: Mapping[str, re.Pattern[str]], fewest: int, most: int, text: str) -> bool:
    """Whether a cue is followed by a number of `fewest` to `most` digits that is no date, with only filler between."""
    values = (found["value"] for found in _matches_after(cues, text.lower()))
    return any(fewest <= sum(map(str.isdigit, value)) <= most and not _DATE.match(value) for value in values)


_has_passport = partial(_has_number_after, _any_of(_PASSPORT_CUES, _FILLER + _NUMBER), 4, 12)
_has_account = partial(_has_number_after, _any_of(_ACCOUNT_CUES, _FILLER + _NUMBER), 7, 18)
_has_national_id = partial(_has_number_after, _any_of(_NATIONAL_CUES, _FILLER + _NUMBER), 6, 18)


_LABELS: dict[Label, Callable[[str], bool]] = {
    "card": _has_card,
    "iban": _has_iban,
    "key": partial(_has_generated, _KEYS, _KEY_CUES),
    "token": partial(_has_generated, _TOKENS, _TOKEN_CUES),
    "password": _has_password,
    "passport": _has_passport,
    "account": _has_account,
    "national-id": lambda text: bool(_BARE_SSN.search(text)) or _has_national_id(text),
}
