# SPDX-License-Identifier: Apache-2.0
"""Tokens: who is believed, for how long, and every way of not being believed."""

import base64
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from bifrost.context import NOBODY, Context
from bifrost.errors import ConfigurationError, PermissionDeniedException
from bifrost.model.permissions import Principal
from bifrost.settings import AccessSettings, load
from bifrost.tokens import Verifier

NOW = 1_750_000_000.0
SECRET = "an example of a secret, long enough"
LEEWAY_S = 30.0


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def keys():
    """An RSA key pair, in PEM."""
    private = rsa.generate_private_key(65537, 2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        public_pem(private),
    )


def public_pem(private):
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def settings(tmp_path):
    return settings_for(tmp_path, SECRET.encode(), algorithms="HS256")


def settings_for(folder, content, mode=0o600, **changes):
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    given = {"tokens": "required", "key_file": str(path), "leeway_s": LEEWAY_S, **changes}
    return AccessSettings(**given)


@pytest.fixture
def verifier(settings, clock):
    return Verifier(settings, clock=clock)


def token(key=SECRET, algorithm="HS256", headers=None, **claims):
    claims = {"sub": "ann", "exp": NOW + 600, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def refusal(verifier, text, **options):
    with pytest.raises(PermissionDeniedException) as caught:
        verifier.verify(text, **options)
    return caught.value


def signed_by_hand(header, payload, key=SECRET):
    """Return a token of any header and payload, as text, signed with HS256 all the same."""
    from jwt.algorithms import HMACAlgorithm

    def encoded(part):
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    body = encoded(header.encode()) + b"." + encoded(payload.encode())
    algorithm = HMACAlgorithm(HMACAlgorithm.SHA256)
    return (body + b"." + encoded(algorithm.sign(body, key.encode()))).decode()


# Whom to believe


def test_a_token_says_who_it_is_and_what_they_may(verifier):
    """
    Subject, issuer, roles everywhere and by project, and how long that holds.
    """
    made = token(iss="studio", roles=["viewer"], projects={"x": ["artist", "lead"]})

    expected = Principal.of(
        "ann", issuer="studio", roles=["viewer"], projects={"x": ["artist", "lead"]},
        expires=NOW + 600,
    )  # fmt: skip
    assert expected == verifier.verify(made)


def test_a_public_key_verifies_what_the_private_one_signed(tmp_path, keys, clock):
    """
    RS256, as identity providers sign.
    """
    private, public = keys
    verifier = Verifier(settings_for(tmp_path, public, algorithms="RS256"), clock=clock)

    assert "ann" == verifier.verify(token(private, "RS256")).subject


def test_a_secret_may_end_in_a_new_line(tmp_path, clock):
    """
    As editors and `openssl rand` leave it.
    """
    long = SECRET * 2
    settings = settings_for(tmp_path, long.encode() + b"\n", algorithms="HS256, HS512")

    assert "ann" == Verifier(settings, clock=clock).verify(token(long)).subject
    assert "ann" == Verifier(settings, clock=clock).verify(token(long, "HS512")).subject


# Time


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - LEEWAY_S + 1}, None),
        ({"exp": NOW - LEEWAY_S}, "expired"),
        ({"exp": 0}, "expired"),
        ({"nbf": NOW + LEEWAY_S}, None),
        ({"nbf": NOW + LEEWAY_S + 1}, "not_yet_valid"),
        ({"iat": NOW + LEEWAY_S}, None),
        ({"iat": NOW + LEEWAY_S + 1}, "not_yet_valid"),
        ({"nbf": NOW - 1, "iat": NOW - 1.5, "exp": NOW + 0.5}, None),
    ],
)
def test_clocks_may_differ_by_the_leeway(verifier, claims, reason):
    """
    Both ways, and not a second more.
    """
    made = token(**claims)

    if reason is None:
        assert "ann" == verifier.verify(made).subject
    else:
        assert reason == refusal(verifier, made).details["reason"]


def test_what_was_verified_expires_all_the_same(verifier, clock):
    """
    A remembered token is refused from the moment on from which it would be.
    """
    made, context = token(), Context(access_token=token(jti="2"))
    verifier.verify(made)
    verifier.authenticate(context.snapshot())

    clock.now = NOW + 600 + LEEWAY_S - 1
    assert "ann" == verifier.verify(made).subject
    assert "ann" == verifier.authenticate(context.snapshot()).get("user")

    clock.now += 1
    assert "expired" == refusal(verifier, made).details["reason"]
    for _ in range(2):
        with pytest.raises(PermissionDeniedException, match="it expired 30 s ago: get a new one"):
            verifier.authenticate(context.snapshot())


def test_a_token_is_verified_once(settings, clock, monkeypatch):
    """
    Asking again is a look-up, until the verifier knows too many.
    """
    verified = []
    decode = jwt.decode_complete
    monkeypatch.setattr(
        jwt, "decode_complete", lambda *a, **k: verified.append(1) or decode(*a, **k)
    )
    verifier = Verifier(settings, clock=clock)
    first = token()

    for _ in range(5):
        verifier.verify(first)
        verifier.authenticate(Context(access_token=first).snapshot())
    assert 1 == len(verified)

    for number in range(1_001):
        verifier.verify(token(jti=str(number)))
    verifier.verify(first)
    assert 1 + 1_001 + 1 == len(verified)


# Forgeries


def test_a_public_key_is_no_secret(tmp_path, keys, clock):
    """
    The classic: a token signed with HS256 and the public key, which everybody has.
    """
    _, public = keys
    verifier = Verifier(settings_for(tmp_path, public, algorithms="RS256"), clock=clock)
    forged = signed_by_hand(
        '{"alg":"HS256","typ":"JWT"}', json.dumps({"sub": "eve", "exp": NOW + 9}), public.decode()
    )

    error = refusal(verifier, forged)
    assert ("signature", "its algorithm is none of RS256") == (
        error.details["reason"],
        error.message.partition(": ")[2],
    )


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_no_signature_is_no_token(verifier, name, signature):
    """
    `alg: none`, however it is spelt.
    """
    header = base64.urlsafe_b64encode(json.dumps({"alg": name}).encode()).rstrip(b"=").decode()
    payload = token().split(".")[1]

    error = refusal(verifier, f"{header}.{payload}.{signature}")
    assert error.details["reason"] in {"signature", "malformed"}


def test_another_key_is_not_ours(verifier, keys):
    """
    A secret of somebody else's, and another algorithm altogether.
    """
    private, _ = keys

    assert "signature" == refusal(verifier, token("x" * 32)).details["reason"]
    assert "signature" == refusal(verifier, token(private, "RS256")).details["reason"]
    assert "signature" == refusal(verifier, token(SECRET * 2, "HS512")).details["reason"]


@given(st.data())
def test_nothing_of_a_token_can_be_changed(tmp_path_factory, data):
    """
    One character of its payload or signature is another, and it is nobody's.
    """
    verifier = Verifier(
        settings_for(tmp_path_factory.mktemp("k"), SECRET.encode(), algorithms="HS256"),
        clock=lambda: NOW,
    )
    made = token()
    # The last character of a signature has bits that mean nothing.
    place = data.draw(st.integers(0, len(made) - 2))
    other = data.draw(st.sampled_from("ABCabc019-_.").filter(lambda ch: ch != made[place]))

    refusal(verifier, made[:place] + other + made[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "..",
        "a.b.c",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9..",
        "e30.e30.",
        "eyJhbGciOiJkaXIifQ..a.b.c",  # encrypted, not signed
        " ",
        "\0",
        "\ud800",
        "é.é.é",
        "a" * 20_000,
        ".".join(["a" * 10_000] * 3),
        signed_by_hand('{"alg":"HS256"}', "[]"),
        signed_by_hand('{"alg":"HS256"}', "null"),
        signed_by_hand('{"alg":"HS256"}', '"text"'),
        signed_by_hand('{"alg":"HS256"}', "{"),
        signed_by_hand('{"alg":"HS256"}', "[" * 8_000),
        signed_by_hand("[]", "{}"),
        signed_by_hand('{"alg":["HS256"]}', "{}"),
        signed_by_hand('{"alg":"HS256","crit":["b64"],"b64":false}', "{}"),
        signed_by_hand('{"alg":"HS256","crit":["x"],"x":1}', '{"sub":"ann","exp":9e9}'),
        signed_by_hand('{"alg":"HS256","kid":5}', '{"sub":"ann","exp":9e9}'),
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_garbage_is_refused_whatever_it_is(verifier, text):
    """
    Never an exception of a parser's, never for long, never repeated in the message.
    """
    error = refusal(verifier, text)

    assert error.details["reason"] in {"malformed", "signature"}
    assert len(error.message) < 200
    assert len(text) < 4 or text not in error.message


@pytest.mark.parametrize("wrong", [5, b"eyJ", ["a"], {}.keys])
def test_what_is_no_text_is_no_token(verifier, wrong):
    """
    A host may put anything into a locale.
    """
    assert "malformed" == refusal(verifier, wrong).details["reason"]


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        ({"exp": None}, "no time of expiry"),
        ({"exp": "tomorrow"}, "exp: expected seconds"),
        ({"exp": str(NOW + 9)}, "exp: expected seconds"),
        ({"exp": True}, "exp: expected seconds"),
        ({"exp": [NOW + 9]}, "exp: expected seconds"),
        ({"exp": float("inf")}, "exp: expected seconds"),
        ({"exp": float("nan")}, "exp: expected seconds"),
        ({"exp": 10**400}, "exp: expected seconds"),
        ({"nbf": "now"}, "nbf: expected seconds"),
        ({"iat": {}}, "iat: expected seconds"),
        ({"sub": None}, "sub: expected a name"),
        ({"sub": ""}, "sub: expected a name"),
        ({"sub": "  "}, "sub: expected a name"),
        ({"sub": "a\nb"}, "sub: expected a name"),
        ({"sub": "a\0b"}, "sub: expected a name"),
        ({"sub": "a" * 257}, "sub: expected a name"),
        ({"sub": 5}, "sub: expected a name"),
        ({"iss": 5}, "iss: expected a name"),
        ({"aud": 5}, "aud: expected a text"),
        ({"aud": ["bifrost", 5]}, "aud: expected a text"),
        ({"aud": {"bifrost": 1}}, "aud: expected a text"),
        ({"roles": "admin"}, "roles: expected lists of roles"),
        ({"roles": [["admin"]]}, "roles: expected lists of roles"),
        ({"roles": {"admin": True}}, "roles: expected lists of roles"),
        ({"projects": ["x"]}, "projects: expected an object"),
        ({"projects": {"x": "admin"}}, "projects: expected lists of roles"),
        ({"projects": {"x": [5]}}, "projects: expected lists of roles"),
        ({"projects": {"": ["admin"]}}, "projects: expected an object, with names"),
        ({"projects": {"\0": ["admin"]}}, "projects: expected an object, with names"),
    ],
)
def test_a_claim_of_another_type_is_named(verifier, claims, what):
    """
    Whoever issues tokens learns what is wrong with them; nobody gets in meanwhile.
    """
    payload = {"sub": "ann", "exp": NOW + 9, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}

    error = refusal(verifier, signed_by_hand('{"alg":"HS256"}', json.dumps(payload)))

    assert "claims" == error.details["reason"]
    assert what in error.message


@pytest.mark.parametrize(
    ("expected", "given", "believed"),
    [
        ("bifrost", "bifrost", True),
        ("bifrost", ["other", "bifrost"], True),
        ("bifrost", "other", False),
        ("bifrost", "bifrost2", False),
        ("bifrost", [], False),
        ("bifrost", None, False),
        ("", None, True),
        ("", [], True),
        ("", "other", False),  # it names somebody, who isn't us
    ],
)
def test_a_token_is_for_whom_it_names(settings, clock, expected, given, believed):
    """
    RFC 7519, 4.1.3.
    """
    verifier = Verifier(settings._replace(audience=expected), clock=clock)
    made = token(aud=given)

    if believed:
        assert "ann" == verifier.verify(made).subject
    else:
        assert "audience" == refusal(verifier, made).details["reason"]


def test_an_issuer_that_is_not_expected_is_refused(settings, clock):
    """
    Another service's tokens, signed with the same key.
    """
    verifier = Verifier(settings._replace(issuer="studio"), clock=clock)

    assert "studio" == verifier.verify(token(iss="studio")).issuer
    for other in ("other", None):
        assert "issuer" == refusal(verifier, token(iss=other)).details["reason"]


# Who asks


def test_who_has_proved_to_ask_is_in_the_snapshot(verifier):
    """
    Whatever the caller said their name is.
    """
    context = Context(access_token=token(), user="eve", current_project="x")

    snapshot = verifier.authenticate(context.snapshot())

    assert ("ann", "x") == (snapshot.get("user"), snapshot.get("current_project"))
    assert snapshot.principal == snapshot.who == Principal("ann", expires=NOW + 600)
    assert context.access_token == snapshot.get("access_token")
    assert snapshot is verifier.authenticate(context.snapshot())
    assert "ann" == verifier.authenticate(snapshot).who.subject


@pytest.mark.parametrize("mode", ["ignored", "optional", "required"])
def test_a_bad_token_is_never_nobodys(settings, clock, mode):
    """
    Where tokens are looked at, one that is there has to be good.
    """
    verifier = Verifier(settings._replace(tokens=mode), clock=clock)
    bad = Context(access_token=token(exp=0), user="ann").snapshot()

    if mode == "ignored":
        assert verifier.authenticate(bad) is bad
    else:
        with pytest.raises(PermissionDeniedException, match="expired"):
            verifier.authenticate(bad)


@pytest.mark.parametrize("mode", ["ignored", "optional", "required"])
@pytest.mark.parametrize("snapshot", [NOBODY, Context(user="ann").snapshot()])
def test_without_a_token_one_is_who_one_says_unless_they_are_required(
    settings, clock, mode, snapshot
):
    """
    The refusal names what one would have needed.
    """
    verifier = Verifier(settings._replace(tokens=mode), clock=clock)

    if mode != "required":
        assert verifier.authenticate(snapshot) is snapshot
        return
    with pytest.raises(PermissionDeniedException, match="required, and there is none") as caught:
        verifier.authenticate(snapshot, action="publish")
    assert "publish" == caught.value.required_permission


@pytest.mark.parametrize(
    "text", ["garbage", token(exp=0), token("x" * 32), token(aud="x"), None, ""]
)
def test_a_refusal_names_the_permission_that_was_asked_for(verifier, text):
    """
    So that a host can say what to ask for.
    """
    assert "delete" == refusal(verifier, text, action="delete").required_permission
    assert refusal(verifier, text).required_permission is None


def test_tokens_are_shown_nowhere(verifier, caplog):
    """
    Not in messages, causes, logs, principals, nor in the verifier that remembers them.
    """
    caplog.set_level(logging.DEBUG)
    good = token()
    signature = good.rsplit(".", 1)[1]
    principal = verifier.verify(good)
    bad = [good[:-5] + "AAAAA", good + "x", token(exp=0), "s3cret-garbage"]
    errors = [refusal(verifier, each) for each in bad]
    verified = verifier.authenticate(Context(access_token=good).snapshot())

    shown = [repr(principal), repr(vars(verifier)), caplog.text, repr(verified)]
    shown += [f"{error!r} {error} {error.details} {error.__cause__!r}" for error in errors]
    shown.append(pickle.dumps(principal).decode("latin-1"))
    for secret in (signature, good.split(".")[1], "s3cret-garbage"):
        assert [] == [text for text in shown if secret in text]


def test_many_threads_verify_many_tokens(settings, clock):
    """
    More tokens than are remembered; each proves its own subject.
    """
    verifier = Verifier(settings, clock=clock)
    tokens = {f"u{number}": token(sub=f"u{number}") for number in range(1_200)}
    wrong = []
    barrier = threading.Barrier(8)

    def work(start):
        barrier.wait(30)
        for name, made in list(tokens.items())[start::4]:
            snapshot = Context(access_token=made).snapshot()
            if verifier.authenticate(snapshot).get("user") != name:
                wrong.append(name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [0, 1, 2, 3] * 2))

    assert [] == wrong
    assert len(verifier._known) <= 1_000


# The settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": "yes"}, "access.tokens: expected one of ignored, optional, required"),
        ({"algorithms": ""}, "access.algorithms: expected some of HS256"),
        ({"algorithms": "none"}, "access.algorithms: expected some of"),
        ({"algorithms": "HS256,none"}, "access.algorithms: expected some of"),
        ({"algorithms": "HS256,RS256"}, "access.algorithms: a key is a secret .* or a public key"),
        ({"key_file": ""}, "access.key_file: expected the file that holds the secret"),
        ({"key_file": "/no/such/file"}, "access.key_file: /no/such/file can't be read: No such"),
        ({"key_file": "a\0b"}, "can't be read: embedded null byte"),
        ({"key_file": "/"}, "access.key_file: / can't be read: Is a directory"),
    ],
)
def test_a_setting_that_can_not_be_is_named(settings, changes, message):
    """
    At once, not when the first token arrives.
    """
    with pytest.raises(ConfigurationError, match=message):
        Verifier(settings._replace(**changes))


@pytest.mark.parametrize(
    ("algorithms", "content", "mode", "message"),
    [
        ("HS256", SECRET.encode(), 0o604, "everybody can read the secret: chmod o-rwx"),
        ("HS256", SECRET.encode(), 0o602, "everybody can write to it"),
        ("HS256", b"short", 0o600, "expected 32 bytes or more, got 5"),
        ("HS256", b"", 0o600, "expected 32 bytes or more, got 0"),
        ("HS256,HS512", SECRET.encode(), 0o600, "expected 64 bytes or more, got 35"),
        ("HS256", b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 64, 0o600, "got a PEM file"),
        ("HS256", b"x" * 70_000, 0o600, "too long"),
        ("RS256", SECRET.encode(), 0o644, "expected a public key in PEM"),
        ("RS256", b"-----BEGIN RSA PRIVATE KEY-----\n", 0o644, "the private one is for whoever"),
        ("RS256", b"-----BEGIN PUBLIC KEY-----\nAAAA", 0o646, "everybody can write to it"),
    ],
)
def test_a_key_that_protects_nothing_is_refused(tmp_path, algorithms, content, mode, message):
    """
    The message says what to do, and nothing of the key.
    """
    with pytest.raises(ConfigurationError, match=message) as caught:
        Verifier(settings_for(tmp_path, content, mode, algorithms=algorithms))

    assert SECRET not in str(caught.value)


def test_a_public_key_may_be_read_by_everybody(tmp_path, keys, clock):
    """
    That is what it is for.
    """
    settings = settings_for(tmp_path, keys[1], 0o644, algorithms="RS256")

    assert "ann" == Verifier(settings, clock=clock).verify(token(keys[0], "RS256")).subject


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "holds no key for RS256"),
        (None, "an RSA key of 2048 bits or more, got 1024"),
    ],
)
def test_a_key_that_is_none_is_found_by_the_first_token(tmp_path, content, message):
    """
    Reading keys takes a library that a host without tokens doesn't load.
    """
    if content is None:
        content = public_pem(rsa.generate_private_key(65537, 1024))
    verifier = Verifier(settings_for(tmp_path, content, 0o644, algorithms="RS256"))

    with pytest.raises(ConfigurationError, match=message):
        verifier.verify(token())


def test_tokens_that_are_ignored_need_neither_key_nor_library():
    """
    Whatever else the settings say.
    """
    code = """
import sys
sys.modules["jwt"] = None
from bifrost.context import Context
from bifrost.settings import AccessSettings
from bifrost.tokens import Verifier
snapshot = Context(access_token="t").snapshot()
assert Verifier(AccessSettings(key_file="/no/such/file")).authenticate(snapshot) is snapshot
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_missing_extra_is_named(settings):
    """
    When the settings ask for it, not when somebody asks for an asset.
    """
    code = """
import sys
class Blocker:
    def find_spec(name, path=None, target=None):
        if name == "jwt":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker)
from bifrost.errors import ConfigurationError
from bifrost.settings import AccessSettings
from bifrost.tokens import Verifier
try:
    Verifier(AccessSettings("required", "HS256", sys.argv[1]))
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, settings.key_file],
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip

    assert "pip install 'bifrost-usd[tokens]'" in done.stdout


def test_a_session_that_only_asks_without_tokens_imports_no_library(settings):
    """
    Importing PyJWT and its cryptography takes longer than a DCC's start may.
    """
    code = """
import sys
from bifrost.settings import AccessSettings
from bifrost.tokens import Verifier
Verifier(AccessSettings("optional", "HS256", sys.argv[1]))
assert not {"jwt", "cryptography"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, settings.key_file], check=True, timeout=60)


def test_the_settings_come_from_the_environment():
    """
    As every other.
    """
    environ = {"BIFROST_ACCESS__TOKENS": "required", "BIFROST_ACCESS__LEEWAY_S": "5"}

    access = load({**os.environ, **environ}).access

    assert ("required", 5.0) == (access.tokens, access.leeway_s)
