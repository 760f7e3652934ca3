"""Labelled secrets are recognised as people write them, and what only resembles one is let through."""

import time

import pytest

from activities.policy.data_checks.secret_labels import secret_labels_in

# None of these is anyone's: test card numbers of the payment schemes, example IBANs, made-up keys joined from two parts
# so that no scanner of this repository takes them for real ones.
BODY = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9"
SECRETS = [
    ("card", "4111111111111111"),
    ("card", "pay with 4111 1111 1111 1111, thanks"),
    ("card", "5500-0000-0000-0004"),
    ("card", '{"card": "378282246310005", "exp": "12/27"}'),
    ("card", "3782 822463 10005 exp 12/27"),
    ("card", "6011 1111 1111 1117 123"),
    ("card", "30569309025904"),
    ("card", "2223003122003222"),
    ("card", "call me, 4111.1111.1111.1111."),
    ("card", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
    ("card", "41111-11111-11111-1"),
    ("card", "4111\u200b1111\u200b1111\u200b1111"),
    ("card", "\uff14\uff11\uff11\uff11 1111 1111 1111"),
    ("card", "3566002020360505"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "send it to GB82WEST12345698765432 please"),
    ("iban", "FR1420041010050500013M02606"),
    ("iban", "es91 2100 0418 4502 0005 1332"),
    ("iban", "NO93-8601-1117-947"),
    ("iban", "DE89\u200d370400440532013000"),
    ("key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
    ("key", "-----BEGIN PRIVATE KEY-----"),
    ("key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ("key", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    ("key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("key", "sk-" + "ant-api03-" + BODY),
    ("key", "OPENAI=sk-" + "proj-" + BODY),
    ("key", "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("key", "AIza" + BODY + "0123456789"),
    ("key", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("key", '"api_key": "' + BODY + '"'),
    ("key", "the client secret is " + BODY),
    ("key", "API-Key: 3f786850e387550fdab836ed7e6dc881de23001b"),
    ("token", "ghp_" + BODY + "0123456789"),
    ("token", "github_" + "pat_" + BODY),
    ("token", "xoxb-" + "2345678901-abcdefghij"),
    ("token", "glpat-" + "a1B2c3D4e5F6g7H8i9J0"),
    ("token", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N"),
    ("token", "Authorization: Bearer " + BODY),
    ("token", "session_id=" + BODY),
    ("password", "password: hunter2"),
    ("password", "Password = correct-horse"),
    ("password", "pwd=s3cr3t!"),
    ("password", "her password is Winter2026!"),
    ("password", '{"password": "opensesame"}'),
    ("password", "The password for Ana is hunter2"),
    ("password", "Passwort: geheim123"),
    ("password", "Das Kennwort lautet Sommer99"),
    ("password", "mot de passe : azerty123"),
    ("password", "contraseña: hola1234"),
    ("password", "pass\u200bword: hunter2"),
    ("passport", "passport C01X00T47"),
    ("passport", '{"passport_number": "533380006"}'),
    ("passport", "Passport No. XDA123456"),
    ("passport", "Reisepassnummer: C01X00T47"),
    ("passport", "numéro de passeport 14AV12345"),
    ("passport", "pasaporte n.º AAB123456"),
    ("account", "account number 000123456789"),
    ("account", "Kontonummer: 0532013000"),
    ("account", "numéro de compte 00050001302"),
    ("account", "cuenta bancaria: 0200051332"),
    ("account", "bank account no 12-345-678"),
    ("account", '{"accountNumber":"12345678"}'),
    ("national-id", "SSN 078-05-1120"),
    ("national-id", "his number is 078-05-1120."),
    ("national-id", "social security number: 078051120"),
    ("national-id", "National Insurance: QQ 12 34 56 C"),
    ("national-id", "DNI 12345678Z"),
    ("national-id", "Personalausweisnummer L01X00T471"),
    ("national-id", "Steuer-ID: 86 095 742 719"),
    ("national-id", "numéro de sécurité sociale 1 84 12 76 451 089 46"),
]
HARMLESS = [
    "Order 1234567890123456 has shipped",  # no card prefix
    "order no. 4111111111111112",  # fails Luhn
    "Invoice INV-2026-000412 of 21.11.2026",
    "Call +49 151 1234 5678 90 or +1 (415) 555-2671",
    "phone 040 123456789, fax 040 123456788",
    "+44 20 7946 0958",
    "+4111111111111111",  # more digits than any number has, yet written as one
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "550e8400-e29b-41d4-a716-446655440000",
    "00000000-0000-0000-0000-000000000000",
    "2026-11-21T10:13:14.123456Z",
    "20261121101314",
    "1700000000000 and 1700000000000000000",
    "EAN 4006381333931",
    "ISBN 978-3-16-148410-0",
    "52.5200066, 13.4049540 and 4.539148803436467",
    "total 1,234,567.89 EUR, VAT 19 %",
    "Tables: 4000 4200 5100 5600, 6011 6400",
    "https://docs.acme.example/a/b?page=2",
    "ana@acme.example, bo@acme.example",
    "Please reset my password, I forgot it.",
    "password: required",
    "The password for ana4711 was reset",
    "Password is expired; click here",
    "Passwords must have 12 characters",
    "password: ********",
    "Your password: see the vault",
    "the key idea is simple: ask first",
    "primary key: id",
    "use the token budget wisely",
    "token count: 200000",
    "idempotency key 550e8400-e29b-41d4-a716-446655440000",
    "passport renewal takes 6 weeks",
    "passport expires 2027-03-04",
    "passport renewed 20261121",
    "account since 20240101",
    "your account is locked (error 4011)",
    "Account opened on 2024-01-01",
    "customer 10023 ordered 12 pieces",
    "ticket 4711, printer HP-8600, room 12.34.56",
    "GB 2026 was a good year; DE12 is a road",
    "192.168.100.200 port 443",
    "scikit-learn and sk-learn-contrib-projects-folder",
    "the nie wieder and no id",
    "v2.10.3-rc.1+build.20261121",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "eyJust kidding.eyJoking. Really",
]
HOSTILE = [
    "4 ", "4111 ", "1-", "account ", "passport no ", "password: ", "secret=", "token ", "eyJ", ".eyJ", "-eyJaaaaaaaa",
    "sk-", "-----BEGIN ", "DE89 ", "a", "9", " ", "\u200b", "Kontonummer nr id is ", "contraseña es ", "0.1234567",
    "social security ", "A1-", "ssn 1 ", "eyJaaaaaaaaa.", "\uff14", "'\"", "xoxb-",
]  # fmt: skip


def test_both_tables_are_large_enough_to_mean_something() -> None:
    assert min(len(SECRETS), len(HARMLESS)) >= 25


@pytest.mark.parametrize(("label", "text"), SECRETS)
def test_a_secret_is_labelled(label: str, text: str) -> None:
    assert label in secret_labels_in(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_a_secret_is_not(text: str) -> None:
    assert secret_labels_in(text) == frozenset()


def test_a_secret_is_found_within_a_page() -> None:
    page = "A quiet sentence about nothing, with 12 numbers and 3 dates. " * 200
    for label, text in SECRETS:
        assert label in secret_labels_in(f"{page} {text}\n{page}"), text


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_hostile_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    """Four times the text may take eight times as long: quadratic time would take sixteen, exponential never ends."""
    small, large = (piece * (size // len(piece)) for size in (250_000, 1_000_000))
    assert _seconds(large) < 8 * _seconds(small) + 0.5


def _seconds(text: str) -> float:
    started = time.process_time()
    secret_labels_in(text)
    return time.process_time() - started
