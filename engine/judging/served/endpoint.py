"""A judge behind an OpenAI-compatible server (vLLM, `transformers serve`, llama.cpp and others), asked over HTTP.

Knows the protocol's two calls that matter here (`/models`, `/chat/completions`), vLLM's `/classify`, and nothing of weights: a base
and its LoRA adapters are just model names. `parsing` reads answers; `http_client` handles waiting, retries and limits.
"""

from __future__ import annotations

import asyncio
import base64
import io
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from engine.errors import ModelError
from engine.judging.base import AMBIGUOUS_ABOVE, CropPair, Prompt
from engine.judging.calibration.fit import Calibration, usable_with
from engine.judging.naming import ANSWER_TOKENS
from engine.judging.pixel_limits import fit_picture
from engine.judging.served.http_client import CHAT, CLASSIFY, EndpointSettings, HttpClient, Refusal
from engine.judging.served.parsing import (
    UNCLEAR,
    AnswerMass,
    answer_of_token,
    mass_from_classes,
    mass_from_logprobs,
    mass_from_text,
)
from engine.types import Float32Array, UInt8Array, Verdict, no_probability

FARTHEST_MARGIN = 20.0
TEXT_TOKENS = 8
"""Tokens of an answer in words."""


@dataclass(frozen=True)
class AnswerForm:
    """What a server is asked for.

    Attributes:
        top: How many of the likeliest first tokens it must list; 0 = words only.
        classes: What each of its classes spells, where it is asked for classes; () = it is asked for an answer in a chat.
    """

    top: int
    classes: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where such an answer is asked for."""
        return CLASSIFY if self.classes else CHAT

    def fields(self) -> dict[str, object]:
        """Return the fields of the request that ask for this form; temperature 0 makes the answer repeatable."""
        if self.classes:
            # Left out by default; without it the last token is the question's, and nobody was about to answer.
            return {"add_generation_prompt": True}
        if self.top:
            return {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": self.top}
        return {"max_tokens": TEXT_TOKENS, "temperature": 0}


FORMS = (AnswerForm(20), AnswerForm(5), AnswerForm(0))
"""Asked for in this order, until the server takes one: 20 is the protocol's most, some servers stop at 5, some give none."""


def parse_classes(text: str) -> AnswerForm:
    """Read what a server's classes spell, e.g. "no,yes".

    Raises:
        ModelError: If a class spells neither, or one of the two is missing.
    """
    classes = tuple(text.split(","))
    if any(not answer_of_token(spelt) for spelt in classes) or {answer_of_token(spelt) for spelt in classes} != {"yes", "no"}:
        raise ModelError(
            f"MASKGROUP_ENDPOINT_CLASSES={text!r} cannot be used: expected spellings of yes and no with commas between, "
            "in the order of the server's classifier_from_token, for example no,yes."
        )
    return AnswerForm(0, classes)


def lacks_chat(refusal: Refusal) -> bool:
    """Whether a server refused because it has no chat: vLLM with `--runner pooling` lacks the path, or says so."""
    return refusal.status in (404, 405, 501) or "chat completions" in refusal.said.lower()


@dataclass(frozen=True)
class ServerAddress:
    """Where a served model is.

    Attributes:
        base: The API's root, e.g. "http://127.0.0.1:8000/v1".
        model: Name of the model there; empty = the only one.
    """

    base: str
    model: str


def parse_address(text: str) -> ServerAddress:
    """Read "http://HOST:PORT/v1#MODEL".

    Raises:
        ModelError: If it is no such address, or holds a password.
    """
    base, _, model = text.partition("#")
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.username or parts.password:
        raise ModelError("An address with a name or a password in it is not taken; put the key into MASKGROUP_API_KEY instead.")
    if not host or parts.query:
        raise ModelError(f"{text!r} is no address of a model server; expected http://HOST:PORT/v1#MODEL.")
    return ServerAddress(base.rstrip("/"), model.strip())


class EndpointJudge:
    """Asks a model on a server.

    Args:
        address: Where it is; the model must be named.
        name: Stored with every verdict.
        prompt: What is asked.
        both_orders: Ask (a, b) and (b, a), and average their logits, unless `judge` is told otherwise.
        form: What the server gives.
        client: Sends the requests.
        calibration: Corrects P(same); used only with the prompt that it was fitted on.
    """

    def __init__(
        self,
        address: ServerAddress,
        client: HttpClient,
        *,
        name: str,
        prompt: Prompt,
        both_orders: bool = False,
        form: AnswerForm = FORMS[0],
        calibration: Calibration | None = None,
    ) -> None:
        self.name = name
        self.calibration = usable_with(calibration, prompt)
        self.prompt = prompt
        self.both_orders = both_orders
        self.form = form
        self._address, self._client = address, client

    @property
    def gives_probabilities(self) -> bool:
        """Whether the server gives probabilities of tokens or classes; else its answers are read from words."""
        return self.form.top > 0 or bool(self.form.classes)

    @property
    def pairs_a_call(self) -> int:
        """Pairs for a call: twice as many as are sent at once, so that few places are empty while the last ones are answered."""
        return 2 * self._client.pace.at_once

    def embed(self, crops: Sequence[UInt8Array]) -> Float32Array | None:
        """Return None: the protocol shows nothing of what a model sees."""
        return None

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        """Return one verdict for each pair, in order; a verdict's latency is the time that its own requests took.

        Raises:
            ModelError: If the server cannot be reached, refuses, or answers something else than the protocol says.
        """
        if not pairs:
            return []
        both = self.both_orders if both_orders is None else both_orders
        urls: dict[int, str] = {}
        for crop in (crop for pair in pairs for crop in (pair.a, pair.b)):
            if id(crop) not in urls:
                urls[id(crop)] = png_data_url(fit_picture(crop))
        asked = [(urls[id(pair.a)], urls[id(pair.b)]) for pair in pairs]
        if both:
            asked += [(b, a) for a, b in asked]
        answers = self._post([self._body(a, b, self.prompt.text) for a, b in asked])
        unclear = [i for i, (mass, _) in enumerate(answers) if mass.ambiguity > AMBIGUOUS_ABOVE] if self.prompt.forced else []
        again = self._post([self._body(*asked[i], self.prompt.forced_text) for i in unclear])
        forced = {i % len(pairs) for i in unclear}
        for i, (mass, seconds) in zip(unclear, again, strict=True):
            answers[i] = (mass, answers[i][1] + seconds)
        orders = 2 if both else 1
        return [self._verdict([answers[i + k * len(pairs)] for k in range(orders)], forced=i in forced) for i in range(len(pairs))]

    def _verdict(self, orders: Sequence[tuple[AnswerMass, float]], *, forced: bool) -> Verdict:
        raw = np.clip([mass.margin for mass, _ in orders], -FARTHEST_MARGIN, FARTHEST_MARGIN)
        margins = raw if self.calibration is None else self.calibration.apply(raw)
        p_orders = 1 / (1 + np.exp(-margins))
        return Verdict(
            p_same=float(1 / (1 + np.exp(-margins.mean()))),
            ambiguity=float(np.mean([mass.ambiguity for mass, _ in orders])),
            model=self.name,
            prompt=self.prompt.reference,
            latency_s=sum(seconds for _, seconds in orders),
            swap_disagreement=float(abs(p_orders[0] - p_orders[1])) if len(orders) == 2 else None,
            forced=forced,
            uncalibrated=None if self.calibration is None else float(1 / (1 + np.exp(-raw.mean()))),
        )

    def say(self, crops: Sequence[UInt8Array], question: str) -> list[str]:
        """Return what the model says of each picture, (h, w, 3) uint8 each.

        Raises:
            ModelError: If the server gives classes alone, cannot be reached, refuses, or answers something else than the protocol
                says.
        """
        if self.form.classes:
            raise ModelError(f"The server at {self._address.base} gives classes and no words; choose another judge to name things.")
        bodies: list[dict[str, object]] = []
        for crop in crops:
            image = {"type": "image_url", "image_url": {"url": png_data_url(fit_picture(crop))}}
            message = {"role": "user", "content": [image, {"type": "text", "text": question}]}
            fields = {"max_tokens": ANSWER_TOKENS, "temperature": 0}
            bodies.append({"model": self._address.model, "messages": [message], **fields})
        return [text for text, _ in _run(self._client.each(bodies, self._read_text))]

    def _read_text(self, reply: Mapping[str, Any]) -> str:
        try:
            text = reply["choices"][0]["message"]["content"]
            if not isinstance(text, str):
                raise TypeError("no text")
        except (KeyError, IndexError, TypeError) as error:
            raise ModelError(
                f"The server at {self._address.base} answered something else than the OpenAI protocol says "
                f"(expected a message, got {str(dict(reply))[:80]!r}); is it a chat server?"
            ) from error
        return text

    def try_once(self) -> None:
        """Ask about two plain pictures, to find errors before any work is done and to learn which form of answer the server gives.

        Raises:
            ModelError: As `judge`.
        """
        route = self._client.settings.endpoint_route
        if route == "classify":
            self._try_classes()
            return
        try:
            self._try_chat()
        except Refusal as refusal:
            if route == "chat" or not lacks_chat(refusal):
                raise
            try:
                self._try_classes()
            except Refusal:
                raise refusal from None

    def _try_classes(self) -> None:
        self.form = parse_classes(self._client.settings.endpoint_classes)
        self._post([self._plain_body()])

    def _try_chat(self) -> None:
        overlooks = False
        for form in FORMS:
            if overlooks and form.top:
                continue
            self.form = form
            try:
                self._post([self._plain_body()])
            except _NoLogprobs:
                # The server accepts these fields but ignores them, so a shorter list will not help.
                overlooks = True
            except Refusal as refusal:
                if not form.top or refusal.status not in (400, 422) or "logprob" not in refusal.said.lower():
                    raise
            else:
                return

    def _post(self, bodies: Sequence[Mapping[str, object]]) -> list[tuple[AnswerMass, float]]:
        """Send requests in the form that is asked for; return what each answer says and how long it took, in order."""
        return _run(self._client.each(bodies, self._read, path=self.form.path))

    def _plain_body(self) -> dict[str, object]:
        plain = png_data_url(np.full((64, 64, 3), 128, dtype=np.uint8))
        return self._body(plain, plain, self.prompt.text)

    def _body(self, a: str, b: str, question: str) -> dict[str, object]:
        images = [{"type": "image_url", "image_url": {"url": url}} for url in (a, b)]
        message = {"role": "user", "content": [*images, {"type": "text", "text": question}]}
        return {"model": self._address.model, "messages": [message], **self.form.fields()}

    def _read(self, reply: Mapping[str, Any]) -> AnswerMass:
        """Return what a reply says.

        Raises:
            ModelError: If it is not a reply of the protocol.
        """
        if self.form.classes:
            return self._read_classes(reply)
        try:
            choice = reply["choices"][0]
            if self.form.top:
                listed = _first_token(choice.get("logprobs"))
                if wrong := [value for _, value in listed if math.isnan(value) or value == math.inf]:
                    raise no_probability(self.name, wrong[0])
                if not listed:
                    raise _NoLogprobs(f"The server at {self._address.base} stopped giving log-probabilities; restart the run.")
                return mass_from_logprobs(listed)
            text = choice["message"]["content"]
            if not isinstance(text, str):
                raise TypeError("no text")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"The server at {self._address.base} answered something else than the OpenAI protocol says "
                f"(expected choices[0] with logprobs or a message, got {str(dict(reply))[:80]!r}); is it a chat server?"
            ) from error
        return mass_from_text(text) or UNCLEAR

    def _read_classes(self, reply: Mapping[str, Any]) -> AnswerMass:
        try:
            values = [float(value) for value in reply["data"][0]["probs"]]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ModelError(
                f"The server at {self._address.base} answered something else than vLLM's /classify does "
                f"(expected data[0].probs, got {str(dict(reply))[:80]!r}); start it with --runner pooling --convert classify."
            ) from error
        if wrong := [value for value in values if not math.isfinite(value)]:
            raise no_probability(self.name, wrong[0])
        try:
            return mass_from_classes(values, self.form.classes)
        except ValueError as error:
            raise ModelError(
                f"The classes of the server at {self._address.base} are not those expected ({error}): yes and no in "
                f"{len(self.form.classes)} spellings ({','.join(self.form.classes)}), or one; start it with these as "
                "classifier_from_token, or set MASKGROUP_ENDPOINT_CLASSES to those that it was started with."
            ) from error


class _NoLogprobs(ModelError):
    """A reply had no log-probabilities although they were asked for."""


def _first_token(logprobs: Any) -> list[tuple[str, float]]:
    """Return the alternatives of the first token; the chosen one alone where none are listed; [] where there is nothing."""
    if not logprobs or not logprobs.get("content"):
        return []
    first = logprobs["content"][0]
    listed = [(entry["token"], float(entry["logprob"])) for entry in first.get("top_logprobs") or [first]]
    if any(not isinstance(token, str) for token, _ in listed):
        raise ValueError("a token without a text")
    return listed


def png_data_url(crop: UInt8Array) -> str:
    """Return a picture, (h, w, 3) uint8, as a data URL: PNG, so that nothing is lost."""
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def load_endpoint(
    model: str,
    *,
    prompt: Prompt,
    both_orders: bool = False,
    name: str | None = None,
    settings: EndpointSettings | None = None,
    calibration: Calibration | None = None,
) -> EndpointJudge:
    """Connect to a served model and make sure that it answers.

    Args:
        model: "http://HOST:PORT/v1#MODEL"; without "#MODEL", the only model that the server lists.
        prompt: What is asked.
        both_orders: Ask both orders of a pair and average their logits.
        name: Stored with every verdict; default: the model's name there.
        settings: Key, timeout and limits; default: from the environment.
        calibration: Fitted on this model and prompt.

    Raises:
        ModelError: If the address is none, nobody answers there, or the model does not.
    """
    address = parse_address(model)
    client = HttpClient(address.base, settings or EndpointSettings.from_environment())
    if not address.model:
        address = replace(address, model=_only_model(client))
    judge = EndpointJudge(
        address, client, name=name or address.model, prompt=prompt, both_orders=both_orders, calibration=calibration
    )
    try:
        judge.try_once()
    except Refusal as refusal:
        if refusal.status == 404:
            names = _listed_models(client)
            if address.model in names:
                raise
            listed = ", ".join(names[:8]) or "none"
            raise ModelError(
                f"The server at {address.base} has no model {address.model!r} (HTTP 404); it lists {listed}: give http://HOST:PORT/v1#MODEL."
            ) from refusal
        raise
    return judge


def _only_model(client: HttpClient) -> str:
    names = _listed_models(client)
    if len(names) != 1:
        raise ModelError(
            f"The server at {client.base} lists {len(names)} models ({', '.join(names[:8]) or 'none'}); "
            "add #MODEL to its address to say which."
        )
    return names[0]


def _listed_models(client: HttpClient) -> list[str]:
    try:
        reply = _run(client.get("/models"))
        return [str(entry["id"]) for entry in reply["data"]]
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"The server at {client.base} answered something else than a list of models; is it an OpenAI-compatible server?"
        ) from error


def _run(work: Any) -> Any:
    """Run a coroutine to its end, even if this thread already runs an event loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
