"""The endpoint judge against a real server process with the bundled model, and against a server that misbehaves."""

from __future__ import annotations

import base64
import io
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from engine.errors import ModelError
from engine.judging.base import CropPair, load_prompt
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS
from engine.judging.naming import QUESTION, NamingJudge, propose_names, read_name
from engine.judging.registry import load_judge
from engine.judging.served.endpoint import AnswerForm, EndpointJudge, load_endpoint, parse_address, parse_classes, png_data_url
from engine.judging.served.http_client import LARGEST_REPLY, EndpointSettings, said_in
from engine.judging.served.parsing import TEXT_FLOOR, VARIANTS, answer_of_token
from engine.judging.sources import LoadOptions
from engine.types import UInt8Array
from tests.boxes_room import write_boxes
from tests.command_line import run_command
from tests.faulty_server import YES, Reply, serve_faults
from tests.model_process import free_port, model_server, write_adapter

QUICK = EndpointSettings(endpoint_timeout_s=20, endpoint_tries=3, endpoint_backoff_s=0.01, endpoint_at_once=4)
PROMPT = load_prompt("original")
CLASSES = "yes,Yes,no,No"
"""The answers that are single tokens of the bundled tokenizer."""


def crops(count: int, seed: int = 0) -> list[UInt8Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 255, size=(*rng.integers(30, 90, size=2), 3)).astype(np.uint8) for _ in range(count)]


PAIRS = [CropPair(a, b) for a, b in zip(crops(6), crops(6, seed=1), strict=True)]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapters") / "mine")


@pytest.fixture(scope="module")
def server(adapter: Path) -> Iterator[str]:
    port = free_port()
    with model_server("--adapter", f"mine={adapter}", port=port):
        yield f"http://127.0.0.1:{port}/v1"


def test_verdicts_equal_the_local_model(server: str) -> None:
    """Probabilities of a served model, from the 20 likeliest tokens, against the same weights here, from all tokens."""
    served = load_endpoint(f"{server}#base", prompt=PROMPT, both_orders=True)
    here = load_judge("base", prompt="original", both_orders=True)
    assert served.form == AnswerForm(20)
    for ours, expected in zip(served.judge(PAIRS), here.judge(PAIRS), strict=True):
        raw = expected.p_same if expected.uncalibrated is None else expected.uncalibrated
        assert ours.p_same == pytest.approx(raw, abs=1e-3)
        assert ours.ambiguity == pytest.approx(expected.ambiguity, abs=1e-3)
        assert ours.swap_disagreement is not None
        assert (ours.model, ours.prompt) == ("base", "original@1")
        assert ours.latency_s > 0


def test_a_server_is_asked_for_names_in_its_chat(server: str) -> None:
    served = load_endpoint(f"{server}#base", prompt=PROMPT)
    assert isinstance(served, NamingJudge)
    said = served.say(crops(2), QUESTION)
    assert all(said)
    # The bundled model has no words: what it spells is no name.
    assert propose_names(served, crops(2)) == [read_name(text) for text in said]
    served.form = parse_classes("yes,no")
    with pytest.raises(ModelError, match="gives classes and no words"):
        served.say(crops(1), QUESTION)


def test_served_and_local_judges_count_the_same_spellings() -> None:
    assert len(YES_WORDS) == len(NO_WORDS) == VARIANTS
    assert {answer_of_token(word) for word in YES_WORDS} == {"yes"}
    assert {answer_of_token(word) for word in NO_WORDS} == {"no"}


def test_an_adapter_is_another_model_name(server: str, adapter: Path) -> None:
    base, tuned = (load_judge(f"{server}#{name}", prompt="original").judge(PAIRS) for name in ("base", "mine"))
    here = load_judge("base", adapter=adapter, prompt="original").judge(PAIRS)
    assert [v.p_same for v in tuned] == pytest.approx([v.p_same for v in here], abs=1e-3)
    assert max(abs(a.p_same - b.p_same) for a, b in zip(base, tuned, strict=True)) > 0.02


def test_unknown_model_names_those_there(server: str) -> None:
    with pytest.raises(ModelError, match=r"has no model 'nope' \(HTTP 404\); it lists base, mine"):
        load_judge(f"{server}#nope")
    with pytest.raises(ModelError, match=r"lists 2 models \(base, mine\); add #MODEL"):
        load_judge(server)


def test_shorter_lists_and_words_agree_with_the_full_list(server: str) -> None:
    judge = load_endpoint(f"{server}#base", prompt=PROMPT)
    full = judge.judge(PAIRS)
    judge.form = AnswerForm(5)
    assert [v.p_same for v in judge.judge(PAIRS)] == pytest.approx([v.p_same for v in full], abs=1e-3)
    judge.form = AnswerForm(0)
    # One spelling may lead where all spellings together just do not.
    clear = [(v, w) for v, w in zip(full, judge.judge(PAIRS), strict=True) if abs(v.p_same - 0.5) > 0.02]
    assert clear
    for verdict, worded in clear:
        assert worded.p_same == pytest.approx(1 - TEXT_FLOOR if verdict.p_same >= 0.5 else TEXT_FLOOR)


def test_a_list_may_be_limited_to_five() -> None:
    def answer(number: int, body: dict[str, Any]) -> Reply:
        return Reply() if body["top_logprobs"] <= 5 else Reply(400, {"error": {"message": "top_logprobs must be at most 5"}})

    with serve_faults(answer) as (base, _):
        assert connect(base).form == AnswerForm(5)


@pytest.fixture(scope="module")
def pooling(adapter: Path) -> Iterator[str]:
    """A server without a chat: vLLM with `--runner pooling --convert classify`, with the bundled tokenizer's answers as classes."""
    port = free_port()
    with model_server("--adapter", f"mine={adapter}", "--classes", CLASSES, port=port):
        yield f"http://127.0.0.1:{port}/v1"


def test_classes_equal_the_local_model_exactly(pooling: str, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All spellings are classes, so nothing is missing; that there is no chat is found out."""
    monkeypatch.setenv("MASKGROUP_ENDPOINT_CLASSES", CLASSES)
    served = load_endpoint(f"{pooling}#base", prompt=PROMPT, both_orders=True)
    assert served.form.classes == tuple(CLASSES.split(","))
    assert served.gives_probabilities
    here = load_judge("base", prompt="original", both_orders=True)
    for ours, expected in zip(served.judge(PAIRS), here.judge(PAIRS), strict=True):
        raw = expected.p_same if expected.uncalibrated is None else expected.uncalibrated
        assert ours.p_same == pytest.approx(raw, abs=1e-4)
        assert (ours.ambiguity, ours.forced) == (0, False)
    tuned = load_judge(f"{pooling}#mine", prompt="original").judge(PAIRS)
    expected = load_judge("base", adapter=adapter, prompt="original").judge(PAIRS)
    assert [v.p_same for v in tuned] == pytest.approx([v.p_same for v in expected], abs=1e-4)


def test_agree_compares_both_routes(server: str, pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_ENDPOINT_CLASSES", CLASSES)
    write_boxes(tmp_path / "boxes", views=3, grid=(2, 2), cell=(50, 50), box=(24, 24))
    ways = ("--model", f"{server}#base", "--model", f"{pooling}#base")
    done = run_command("agree", *ways, "--scene", tmp_path / "boxes", "--pairs", 8, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["meaning"] == "alike"


def test_what_is_asked_of_classes() -> None:
    """The question is asked with the generation prompt, which vLLM leaves out by default, and beside the OpenAI protocol's root."""

    def answer(number: int, body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            return Reply(400, {"error": {"message": "The model does not support Chat Completions API"}})
        return Reply(body={"data": [{"probs": [0.25, 0.75]}]})

    with serve_faults(answer) as (base, seen):
        judge = connect(base, QUICK.model_copy(update={"endpoint_classes": "no,yes"}))
        verdict = judge.judge(PAIRS[:1])[0]
    assert verdict.p_same == pytest.approx(0.75)
    assert [path for _, path, _, _ in seen.requests] == ["/v1/chat/completions", "/classify", "/classify"]
    body = seen.requests[-1][2]
    assert set(body) == {"model", "messages", "add_generation_prompt"}
    assert body["add_generation_prompt"] is True
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "image_url", "text"]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_route_that_was_set_is_the_only_one(status: int) -> None:
    def answer(number: int, body: dict[str, Any]) -> Reply:
        return Reply(status, {"detail": "Not here"}) if "max_tokens" in body else Reply(body={"data": [{"probs": [0.25]}]})

    with serve_faults(answer) as (base, seen):
        assert connect(base).judge(PAIRS[:1])[0].p_same == pytest.approx(0.25)
        asked = len(seen.requests)
        judge = connect(base, QUICK.model_copy(update={"endpoint_route": "classify"}))
        assert judge.judge(PAIRS[:1])[0].p_same == pytest.approx(0.25)
        assert {path for _, path, _, _ in seen.requests[asked:]} == {"/classify"}
        with pytest.raises(ModelError, match=r"has no /models \(HTTP 404|Not here|list of models"):
            connect(base, QUICK.model_copy(update={"endpoint_route": "chat"}))
    assert seen.requests[-1][1] != "/classify"


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(body={"data": []}), "something else than vLLM's /classify does"),
        (Reply(body={"data": [{"probs": ["high"]}]}), "something else than vLLM's /classify does"),
        (Reply(body={"data": [{"probs": [0.1, 0.2, 0.7]}]}), r"\(3 classes, not 10\).*set MASKGROUP_ENDPOINT_CLASSES"),
        (Reply(body={"data": [{"probs": [2.0]}]}), "are not those expected"),
        (Reply(200, b'{"data": [{"probs": [NaN]}]}'), "nan"),
        (Reply(400, {"error": {"message": "no images"}}), r"refused the request \(HTTP 400: no images\)"),
    ],
)
def test_bad_classes_are_one_sentence(reply: Reply, sentence: str) -> None:
    only = QUICK.model_copy(update={"endpoint_route": "classify"})
    with serve_faults(lambda number, body: reply) as (base, _), pytest.raises(ModelError, match=sentence) as caught:
        connect(base, only)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", ["", "yes", "yes,maybe", "no,no"])
def test_classes_that_are_no_answers_are_refused(classes: str) -> None:
    with pytest.raises(ModelError, match=r"MASKGROUP_ENDPOINT_CLASSES.*cannot be used: expected spellings of yes and no"):
        parse_classes(classes)


def test_a_chat_server_that_is_asked_for_classes_says_what_to_do(server: str) -> None:
    with pytest.raises(ModelError, match=r"has no /classify \(HTTP 404: Not Found\); start it with --runner pooling"):
        load_endpoint(f"{server}#base", prompt=PROMPT, settings=QUICK.model_copy(update={"endpoint_route": "classify"}))


def test_keys() -> None:
    with serve_faults(lambda number, body: Reply(401, {"error": "who?"})) as (base, seen):
        with pytest.raises(ModelError, match=r"wants a key \(HTTP 401\); set MASKGROUP_API_KEY"):
            connect(base)
        with pytest.raises(ModelError, match="refuses the key in MASKGROUP_API_KEY") as caught:
            connect(base, QUICK.model_copy(update={"api_key": SecretStr("s3cret")}))
    assert "s3cret" not in str(caught.value) + repr(QUICK.model_copy(update={"api_key": SecretStr("s3cret")}))
    assert len(seen.requests) == 2


def test_the_key_comes_from_the_environment_and_pictures_arrive_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_API_KEY", "from-env")
    with serve_faults(lambda number, body: Reply()) as (base, seen):
        judge = load_endpoint(f"{base}#m", prompt=PROMPT)
        judge.judge(PAIRS[:1])
    _, path, body, headers = seen.requests[-1]
    assert path == "/v1/chat/completions"
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer from-env"
    assert (body["model"], body["temperature"], body["max_tokens"], body["top_logprobs"]) == ("m", 0, 1, 20)
    *images, question = body["messages"][0]["content"]
    assert question == {"type": "text", "text": PROMPT.text}
    for part, crop in zip(images, (PAIRS[0].a, PAIRS[0].b), strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert np.array_equal(np.array(Image.open(io.BytesIO(base64.b64decode(data)))), crop)


def connect(base: str, settings: EndpointSettings = QUICK) -> EndpointJudge:
    return load_endpoint(f"{base}#m", prompt=PROMPT, settings=settings)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_that_passes_is_waited_out(status: int) -> None:
    with serve_faults(lambda number, body: Reply(status, {"error": "busy"}) if number < 2 else Reply()) as (base, seen):
        connect(base)
    assert len(seen.requests) == 3


def test_the_server_may_say_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.judging.served.http_client.LONGEST_WAIT_S", 0.02)
    with serve_faults(lambda n, body: Reply(429, {}, {"Retry-After": "3600"}) if n == 0 else Reply()) as (base, seen):
        connect(base)
    assert len(seen.requests) == 2


@pytest.mark.parametrize(
    ("reply", "sentence", "requests"),
    [
        (
            Reply(503, {"error": {"message": "warming up"}}),
            r"answered HTTP 503 \(warming up\), 3 times in a row; see that it runs",
            3,
        ),
        (Reply(400, {"detail": "no images here"}), r"refused the request \(HTTP 400: no images here\)", 1),
        (Reply(302, b"", {"Location": "http://127.0.0.1:9/"}), r"refused the request \(HTTP 302: nothing\)", 1),
        (Reply(404, {"detail": "Not Found"}), r"has no /models \(HTTP 404: Not Found\); give an address such as", 3),
        (
            Reply(200, b"<html>Welcome\x1b[31m to nginx</html>"),
            r"answered '<html>Welcome \[31m to nginx</html>', expected a JSON object",
            1,
        ),
        (Reply(200, b"[1, 2]"), r"expected a JSON object", 1),
        (Reply(200, {}), r"something else than the OpenAI protocol says", 1),
        (Reply(200, {"choices": []}), r"something else than the OpenAI protocol says", 1),
        (Reply(200, {"choices": [{"message": {"content": None}}]}), r"something else than the OpenAI protocol says", 2),
        (Reply(200, {"choices": [{"logprobs": {"content": [{"token": "yes", "logprob": "high"}]}}]}), r"something else than", 1),
        (Reply(200, {"choices": [{"logprobs": {"content": [{"token": 7, "logprob": -1}]}}]}), r"something else than", 1),
        (Reply(200, {"choices": "yes"}), r"something else than the OpenAI protocol says", 1),
        (Reply(200, b"\xff\xfe" + b"x" * (LARGEST_REPLY + 10)), r"expected a JSON object", 1),
    ],
)
def test_bad_answers_are_one_sentence(reply: Reply, sentence: str, requests: int) -> None:
    with serve_faults(lambda number, body: reply) as (base, seen), pytest.raises(ModelError, match=sentence) as caught:
        connect(base)
    assert len(seen.requests) == requests
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_silent_server_is_given_up() -> None:
    impatient = QUICK.model_copy(update={"endpoint_timeout_s": 0.2, "endpoint_tries": 2})
    sentence = r"gave no answer within 0\.2 s, 2 times in a row"
    with serve_faults(lambda number, body: Reply(wait_s=60)) as (base, seen), pytest.raises(ModelError, match=sentence):
        connect(base, impatient)
    assert len(seen.requests) == 2


def test_nobody_there() -> None:
    with pytest.raises(ModelError, match=r"cannot be reached .*, 3 times in a row"):
        connect(f"http://127.0.0.1:{free_port()}/v1")


def test_requests_at_once_are_limited_and_answers_keep_their_order() -> None:
    """Every answer is its own pictures', though they come in any order."""

    def share(urls: list[str]) -> float:
        return 0.05 + zlib.crc32("".join(urls).encode()) % 90 / 100

    def answer(number: int, body: dict[str, Any]) -> Reply:
        p_yes = share([part["image_url"]["url"] for part in body["messages"][0]["content"][:2]])
        listed = [{"token": "yes", "logprob": math.log(p_yes)}, {"token": "no", "logprob": math.log(1 - p_yes)}]
        content = [{**listed[0], "top_logprobs": listed}]
        return Reply(body={"choices": [{"logprobs": {"content": content}}]}, wait_s=0.05 if number % 2 else 0.0)

    with serve_faults(answer) as (base, seen):
        verdicts = connect(base).judge(PAIRS * 4)
    expected = [share([png_data_url(pair.a), png_data_url(pair.b)]) for pair in PAIRS * 4]
    assert [verdict.p_same for verdict in verdicts] == pytest.approx(expected)
    assert 1 < seen.at_once <= QUICK.endpoint_at_once


def test_one_failure_ends_the_call() -> None:
    with serve_faults(lambda number, body: Reply() if number < 3 else Reply(400, {"error": "no"})) as (base, seen):
        judge = connect(base)
        with pytest.raises(ModelError, match="HTTP 400: no"):
            judge.judge(PAIRS * 20)
    assert len(seen.requests) < len(PAIRS) * 20


def test_an_ambiguous_answer_is_asked_again_in_one_word() -> None:
    unclear = {"choices": [{"logprobs": {"content": [{"token": "Maybe", "logprob": -0.1, "top_logprobs": []}]}}]}
    with serve_faults(lambda number, body: Reply(body=unclear if number < 2 else YES)) as (base, seen):
        verdict = connect(base).judge(PAIRS[:1])[0]
    asked = [body["messages"][0]["content"][2]["text"] for _, _, body, _ in seen.requests]
    assert asked == [PROMPT.text, PROMPT.text, PROMPT.forced_text]
    assert verdict.forced
    assert verdict.answer == "same"


def test_a_server_without_logprobs_is_read_by_its_words() -> None:
    def answer(number: int, body: dict[str, Any]) -> Reply:
        return Reply(body={"choices": [{"message": {"content": "No, they differ."}}]})

    with serve_faults(answer) as (base, _):
        judge = connect(base)
        assert judge.form == AnswerForm(0)
        assert judge.judge(PAIRS[:1])[0].p_same == pytest.approx(TEXT_FLOOR)


def test_refused_fields_lead_to_words() -> None:
    with serve_faults(
        lambda number, body: (
            Reply(422, {"detail": "logprobs not supported"})
            if number < 2
            else Reply(body={"choices": [{"message": {"content": "yes"}}]})
        )
    ) as (base, _):
        assert connect(base).form == AnswerForm(0)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://", "no address of a model server"),
        ("http://host:port/v1#m", "no address of a model server"),
        ("http://host/v1?key=1#m", "no address of a model server"),
        ("http://me:secret@host/v1#m", "put the key into MASKGROUP_API_KEY"),
    ],
)
def test_bad_addresses(address: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        load_judge(address)
    assert "secret" not in str(caught.value)


def test_addresses() -> None:
    found = parse_address("https://host:8000/v1/#Qwen/Qwen3-VL-8B-Instruct")
    assert (found.base, found.model) == ("https://host:8000/v1", "Qwen/Qwen3-VL-8B-Instruct")


def test_local_options_make_no_sense_for_a_server(tmp_path: Path) -> None:
    for loading in (LoadOptions(device="cpu"), LoadOptions(four_bit=True), LoadOptions(dtype="bfloat16")):
        with pytest.raises(ModelError, match="decides on adapter, device, dtype and loader"):
            load_judge("http://127.0.0.1:9/v1#m", loading=loading)
    with pytest.raises(ModelError, match="decides on adapter, device, dtype and loader"):
        load_judge("http://127.0.0.1:9/v1#m", adapter=tmp_path)


def test_bad_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_ENDPOINT_TIMEOUT_S", "soon")
    with pytest.raises(ModelError, match=r"MASKGROUP_ENDPOINT_TIMEOUT_S='soon' cannot be used"):
        EndpointSettings.from_environment()
    monkeypatch.setenv("MASKGROUP_ENDPOINT_TIMEOUT_S", "5")
    monkeypatch.setenv("MASKGROUP_API_KEY", "a\nb")
    with pytest.raises(ModelError, match="holds characters that no key has"):
        load_judge("http://127.0.0.1:9/v1#m")


def test_what_a_server_says_is_shortened() -> None:
    assert said_in(b'{"error": {"message": "too\\nlong"}}') == "too long"
    assert said_in(b'{"detail": [{"msg": "x"}]}') == '[{"msg": "x"}]'
    assert said_in(b"") == "nothing"
    assert len(said_in(b"word " * 200)) <= 161
