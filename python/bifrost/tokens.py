# SPDX-License-Identifier: Apache-2.0
"""
Access tokens: who asks, proved by a signature.

A token is a JSON Web Token (RFC 7519) signed with a secret (HS256) or a private key whose public half
we have (RS256). It has `sub` and `exp`; it may have `iss`, `aud`, `nbf`, `iat`, and what it grants:
`roles`, a list of names, and `projects`, an object with such a list for each project
(`bifrost.model.permissions`). Nothing in a token is believed before its signature is verified, and no
message shows anything of a token that isn't.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from bifrost.context import ContextSnapshot
from bifrost.errors import Code, ConfigurationError, PermissionDeniedException
from bifrost.key_files import KeyFile
from bifrost.model.permissions import Principal
from bifrost.redaction import Secret

if TYPE_CHECKING:
    from bifrost.settings import AccessSettings

IGNORED: Final = "ignored"
OPTIONAL: Final = "optional"
REQUIRED: Final = "required"

_MODES: Final = (IGNORED, OPTIONAL, REQUIRED)
_SHARED: Final = frozenset({"HS256", "HS384", "HS512"})
_PUBLIC: Final = frozenset({"RS256", "RS384", "RS512"})
_MAX_CHARACTERS: Final = 16_384
_MAX_NAME: Final = 256
_MIN_RSA_BITS: Final = 2048  # RFC 7518, 3.3
_MOST_KNOWN: Final = 1_000


class Verifier:
    """
    Tells who asks by their tokens, under one set of settings. Any thread.

    Making one reads the key, where tokens are not ignored; PyJWT is imported by the first token. A
    token that was verified is known until it expires, so that asking again costs a look-up.

    Args:
        settings: `[access]`.
        clock: Tells the time, in seconds since the epoch.

    Raises:
        ConfigurationError: the settings can't be; the key can't be read, is weak, or is a secret that
            others can read; the extra is missing.
    """

    def __init__(self, settings: AccessSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.mode = _mode(settings)
        self._settings = settings
        self._clock = clock
        self._known: OrderedDict[Secret, Principal] = OrderedDict()
        self._last: tuple[ContextSnapshot, ContextSnapshot, float] | None = None
        self._key: Any = None
        if self.mode == IGNORED:
            return
        self._algorithms = _algorithms(settings)
        self._key_bytes = _key_bytes(settings, self._algorithms)
        if not _is_installed("jwt"):
            raise ConfigurationError(
                "access.tokens: verifying tokens needs PyJWT: pip install 'bifrost-usd[tokens]'"
            )

    def authenticate(
        self, snapshot: ContextSnapshot, *, action: str | None = None
    ) -> ContextSnapshot:
        """
        Return *snapshot* with who has proved to ask, as its `principal`, its `user` and in its scope.

        Where tokens are ignored, or optional and there is none, that is *snapshot* itself: who asks
        is then who they say they are.

        Args:
            snapshot: Whose `access_token` is looked at.
            action: The permission that is about to be used, for `required_permission` of a refusal.

        Raises:
            PermissionDeniedException: the token is missing, or can't be believed, or not any more.
        """
        if self.mode == IGNORED:
            return snapshot
        last = self._last
        if last is not None and last[0] is snapshot and self._clock() < last[2]:
            return last[1]
        token = snapshot.token
        if token is None:
            if self.mode == REQUIRED:
                raise _missing(action)
            return snapshot
        principal = self._principal(token, action)
        verified = snapshot.verified(principal)
        self._last = (snapshot, verified, principal.expires + self._settings.leeway_s)
        return verified

    def verify(self, token: str | None, *, action: str | None = None) -> Principal:
        """
        Return whom *token* proves to ask.

        Raises:
            PermissionDeniedException: it can't be believed, or not any more; `details["reason"]` is
                `missing`, `malformed`, `signature`, `expired`, `not_yet_valid`, `audience`, `issuer`
                or `claims`.
            ConfigurationError: the key is none, or too weak a one.
        """
        if not token:
            raise _missing(action)
        if not isinstance(token, str):
            raise _denied("malformed", f"expected text, got {type(token).__name__}", action)
        return self._principal(Secret(token), action)

    def _principal(self, token: Secret, action: str | None) -> Principal:
        now = self._clock()
        known = self._known.get(token)
        if known is None:
            claims = self._claims(token.reveal(), action)
            known = _Claims(claims, action).principal(self._settings, now)
            self._known[token] = known
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        elif now >= known.expires + self._settings.leeway_s:
            self._known.pop(token, None)
            raise _expired(now - known.expires, action)
        return known

    def _claims(self, token: str, action: str | None) -> Mapping[str, Any]:
        """Return what *token* says, its signature verified and nothing else."""
        import jwt

        if len(token) > _MAX_CHARACTERS:
            raise _denied("malformed", f"expected at most {_MAX_CHARACTERS} characters", action)
        key = self._key_for(jwt)
        algorithms = sorted(self._algorithms)
        options: Any = _SIGNATURE_ONLY
        try:
            found = jwt.decode_complete(token, key, algorithms=algorithms, options=options)
        except jwt.InvalidAlgorithmError:
            expected = ", ".join(algorithms)
            raise _denied("signature", f"its algorithm is none of {expected}", action) from None
        except jwt.InvalidSignatureError:
            raise _denied("signature", "its signature is not of our key", action) from None
        # Whatever a forged token sets off, in a parser or elsewhere, is a refusal. Not chained: the
        # parser's exception may hold the token.
        except Exception:  # noqa: BLE001
            raise _denied("malformed", "it is no signed JSON Web Token", action) from None
        if "crit" in found["header"]:
            raise _denied("malformed", "its header has extensions that we don't know", action)
        claims: Mapping[str, Any] = found["payload"]
        return claims

    def _key_for(self, jwt: Any) -> Any:
        if self._key is None:
            name = min(self._algorithms)
            try:
                key = jwt.get_algorithm_by_name(name).prepare_key(self._key_bytes)
            except NotImplementedError:
                raise ConfigurationError(
                    f"access.algorithms: {name} needs pip install 'bifrost-usd[tokens]'"
                ) from None
            except Exception as error:  # noqa: BLE001  a library's own for each kind of damage
                raise ConfigurationError(
                    f"access.key_file: {self._settings.key_file} holds no key for {name}: "
                    f"{type(error).__name__}"
                ) from None
            if getattr(key, "key_size", _MIN_RSA_BITS) < _MIN_RSA_BITS:
                raise ConfigurationError(
                    f"access.key_file: expected an RSA key of {_MIN_RSA_BITS} bits or more, got "
                    f"{key.key_size}"
                )
            self._key = key
        return self._key


_SIGNATURE_ONLY: Final = {
    "verify_signature": True,
    **{f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")},
}


class _Claims:
    """What a token says whose signature is ours. Still, whoever issued it may have erred."""

    def __init__(self, claims: Mapping[str, Any], action: str | None) -> None:
        self._claims = claims
        self._action = action

    def principal(self, settings: AccessSettings, now: float) -> Principal:
        """Return who it is, if it is time, and meant for us."""
        self._check_times(now, settings.leeway_s)
        self._check_audience(settings.audience)
        issuer = self._name("iss") if self._claims.get("iss") else ""
        if settings.issuer and issuer != settings.issuer:
            raise self._refused("issuer", f"it is not issued by {settings.issuer!r}")
        projects = self._claims.get("projects", {})
        if not isinstance(projects, dict) or not all(map(_is_name, projects)):
            raise self._refused("claims", "projects: expected an object, with names of projects")
        return Principal.of(
            self._name("sub"),
            issuer=issuer,
            roles=self._roles("roles", self._claims.get("roles", [])),
            projects={name: self._roles("projects", each) for name, each in projects.items()},
            expires=self._time("exp") or 0.0,
        )

    def _check_times(self, now: float, leeway_s: float) -> None:
        expires = self._time("exp")
        if expires is None:
            raise self._refused("claims", "it has no time of expiry (exp)")
        if now >= expires + leeway_s:
            raise _expired(now - expires, self._action)
        for claim in ("nbf", "iat"):
            begins = self._time(claim)
            if begins is not None and now < begins - leeway_s:
                wait = _duration(begins - now)
                raise self._refused(
                    "not_yet_valid", f"it is not yet valid, for another {wait}: check the clocks"
                )

    def _check_audience(self, expected: str) -> None:
        given = self._claims.get("aud")
        audiences = [given] if isinstance(given, str) else given
        if given is not None and not _are_texts(audiences):
            raise self._refused("claims", "aud: expected a text or a list of texts")
        # RFC 7519, 4.1.3: a token for somebody is not for whoever isn't named.
        if (expected or audiences) and expected not in (audiences or ()):
            whom = f"not for the audience {expected!r}" if expected else "for somebody else"
            raise self._refused("audience", f"it is {whom} (access.audience)")

    def _time(self, claim: str) -> float | None:
        value = self._claims.get(claim)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            seconds = float(value) if is_number else math.nan
        except OverflowError:
            seconds = math.inf
        if not math.isfinite(seconds):
            raise self._refused("claims", f"{claim}: expected seconds since the epoch")
        return seconds

    def _name(self, claim: str) -> str:
        value = self._claims.get(claim)
        if not _is_name(value):
            raise self._refused("claims", f"{claim}: expected a name")
        return value

    def _roles(self, claim: str, value: Any) -> list[str]:
        if not _are_texts(value):
            raise self._refused("claims", f"{claim}: expected lists of roles")
        return value

    def _refused(self, reason: str, message: str) -> PermissionDeniedException:
        return _denied(reason, message, self._action)


def _is_name(value: Any) -> TypeGuard[str]:
    if not isinstance(value, str) or not value.isprintable():
        return False
    return bool(value.strip()) and len(value) <= _MAX_NAME


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _missing(action: str | None) -> PermissionDeniedException:
    return _denied("missing", "an access token is required, and there is none", action)


def _denied(reason: str, why: str, action: str | None) -> PermissionDeniedException:
    message = why if reason == "missing" else f"the access token is refused: {why}"
    details = {"reason": reason, **({"required_permission": action} if action else {})}
    return PermissionDeniedException(message, code=Code.PERMISSION_DENIED, details=details)


def _expired(ago_s: float, action: str | None) -> PermissionDeniedException:
    return _denied("expired", f"it expired {_duration(ago_s)} ago: get a new one", action)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


# The settings


def _mode(settings: AccessSettings) -> str:
    if settings.tokens not in _MODES:
        raise ConfigurationError(
            f"access.tokens: expected one of {', '.join(_MODES)}, got {settings.tokens[:80]!r}"
        )
    return settings.tokens


def _algorithms(settings: AccessSettings) -> frozenset[str]:
    names = frozenset(filter(None, (each.strip() for each in settings.algorithms.split(","))))
    known = sorted(_SHARED | _PUBLIC)
    if not names or not names <= set(known):
        raise ConfigurationError(
            f"access.algorithms: expected some of {', '.join(known)}, got "
            f"{settings.algorithms[:80]!r}"
        )
    # Whoever has the public key could sign with it, were it taken for a secret.
    if names & _SHARED and names & _PUBLIC:
        raise ConfigurationError(
            "access.algorithms: a key is a secret (HS…) or a public key (RS…), not both, got "
            f"{settings.algorithms[:80]!r}"
        )
    return names


def _key_bytes(settings: AccessSettings, algorithms: frozenset[str]) -> bytes:
    is_secret = bool(algorithms & _SHARED)
    if not settings.key_file:
        what = "the secret" if is_secret else "the public key (PEM)"
        raise ConfigurationError(f"access.key_file: expected the file that holds {what}")
    file = KeyFile("access.key_file", settings.key_file, is_secret=is_secret)
    if is_secret:
        # As long as the hash: RFC 7518, 3.2.
        return _secret(file, max(int(name[2:]) for name in algorithms) // 8)
    return _public_key(file)


def _secret(file: KeyFile, length: int) -> bytes:
    if b"-----BEGIN" in file.content:
        file.refuse("expected a secret for HS256, got a PEM file")
    secret = file.content.rstrip(b"\r\n")
    if len(secret) < length:
        file.refuse(f"expected {length} bytes or more, got {len(secret)}")
    return secret


def _public_key(file: KeyFile) -> bytes:
    if b"PRIVATE KEY" in file.content:
        file.refuse("expected the public key: the private one is for whoever issues tokens")
    if b"-----BEGIN" not in file.content:
        file.refuse("expected a public key in PEM")
    return file.content
