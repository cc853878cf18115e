"""Sealing and opening 2 kB, about what a provider's tokens take, beside bare AES-GCM under one key that is at hand.

The vault draws a fresh key for every secret and wraps it under the installation's, and binds both to the row that holds them.
"""

import secrets
import statistics
import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.vault import Keyring, Place, open_, seal
from app.vault.keys import key_id
from bench.figure import Figure

TITLE = "Sealing and opening"
SIZE, NONCE = 2048, 12
ROUNDS, EACH = 30, 400
PLACE = Place("connection", 3, 12, "a7b2c3d4e5f6g7h8j9k2", "s2t3u4v5w6x7y8z9a2b3", 4)
MEANING = "Drawing a key of its own, wrapping it and binding both to their row; {} beside a callback's milliseconds."


def measure() -> Iterator[Figure]:
    """Seals and opens a second, and what of the bare cipher's speed is left."""
    key, plaintext, nonce = AESGCM.generate_key(256), secrets.token_bytes(SIZE), secrets.token_bytes(NONCE)
    ring, bare = Keyring(key_id(key), {key_id(key): key}), AESGCM(key)
    blob, ciphertext = seal(ring, plaintext, PLACE), bare.encrypt(nonce, plaintext, b"place")
    times = _in_turns(
        {
            "seal": lambda: seal(ring, plaintext, PLACE),
            "bare seal": lambda: bare.encrypt(secrets.token_bytes(NONCE), plaintext, b"place"),
            "open": lambda: open_(ring, blob, PLACE),
            "bare open": lambda: bare.decrypt(nonce, ciphertext, b"place"),
        }
    )
    for verb in ("seal", "open"):
        ours, raw = times[verb], times[f"bare {verb}"]
        yield Figure(f"{verb}, 2 kB", 1 / ours, "a second", f"{ours * 1e6:.1f} µs each.")
        yield Figure(f"bare AES-GCM, {verb}, 2 kB", 1 / raw, "a second", f"{raw * 1e6:.1f} µs each.")
        what = f"{(ours - raw) * 1e6:.0f} µs more are nothing"
        yield Figure(f"{verb} beside bare AES-GCM", 100 * raw / ours, "%", MEANING.format(what))


def _in_turns(acts: dict[str, Callable[[], bytes]]) -> dict[str, float]:
    """The median seconds of each, over rounds that take turns."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            began = time.perf_counter()
            for _ in range(EACH):
                act()
            times[name].append((time.perf_counter() - began) / EACH)
    return {name: statistics.median(taken) for name, taken in times.items()}
