"""Programs call the real app by name: every example of docs/api.md runs, and every endpoint says who may call it."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.browser.app_process import running_app
from tests.docs_blocks import ROOT, blocks
from tests.tiny_room import NAME, write_tiny_room
from ui.endpoints.api import Api, endpoints
from ui.web.permissions import HANDLERS, OPEN_TO_PROGRAMS

PAGE = "docs/api.md"
PAIR = ["0", 1, "2", 1]
WITHOUT_A_PAGE: dict[str, tuple[Any, ...]] = {
    "v1_scenes": (),
    "v1_scene": (NAME,),
    "v1_imports": (),
    "v1_models": (),
    "v1_judge": (NAME, PAIR),
    "v1_queue_next": (NAME, "Bob"),
    "v1_label": (NAME, PAIR, "skip", "Bob"),
    "v1_groups": (NAME,),
    "v1_exported": (NAME,),
    "v1_runs": (),
    "v1_comparisons": (),
}
WITH_A_PAGE: dict[str, tuple[Any, ...]] = {
    "v1_import": ("nowhere",),
    "v1_group": (NAME,),
    "v1_export": (NAME,),
    "v1_train": ([NAME],),
    "v1_compare": ([NAME], "base", "tuned"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("called")
    room = write_tiny_room(folder / "scenes")
    shutil.copy(room.parent / "ground_truth" / f"{NAME}.txt", room / "ground_truth.txt")
    with zipfile.ZipFile(folder / "my_room.zip", "w") as packed:
        for file in sorted(room.rglob("*.*")):
            packed.write(file, file.relative_to(room).as_posix())
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with running_app(folder / "data" / "labels.db", "--scenes", str(folder / "scenes")) as started:
        yield started


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def examples(language: str, address: str) -> list[str]:
    """Return the page's blocks, about this app and its small scene."""
    found = [block.text for block in blocks() if block.page == PAGE and block.language == language]
    assert found
    return [text.replace("http://localhost:7860", address).replace("sh3d_living", NAME) for text in found]


def test_the_examples_in_python_run(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for text in examples("py", address):
        exec(compile(text, PAGE, "exec"), names)
    assert names["verdict"]["answer"] in ("same", "different")
    assert names["packed"].startswith(b"PK")
    assert {mask["group"] for mask in names["groups"]["masks"]} == {0, 1}
    assert names["state"]["scene"] == "my_room"


def test_the_example_with_curl_runs(address: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (text,) = examples("sh", address)
    done = subprocess.run(["sh", "-eu"], input=text, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.count("event: complete") == 3
    assert f'"name": "{NAME}"' in done.stdout


def test_the_page_lists_all_endpoints_with_their_arguments(client: Client) -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    told: Any = client.view_api(return_format="dict")
    named = {name.removeprefix("/"): found for name, found in told["named_endpoints"].items() if name.startswith("/v1_")}
    assert set(named) == {*WITHOUT_A_PAGE, *WITH_A_PAGE, "v1_undo"}
    for name, found in named.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        for parameter in found["parameters"]:
            assert f"`{parameter['parameter_name']}`" in line, name
        assert found["description"]


def test_programs_look_and_label_and_no_more(client: Client) -> None:
    for name, arguments in WITHOUT_A_PAGE.items():
        client.predict(*arguments, api_name=f"/{name}")
    for name, arguments in WITH_A_PAGE.items():
        with pytest.raises(AppError, match="Only the app's own page may"):
            client.predict(*arguments, api_name=f"/{name}")
    by_action = {name: HANDLERS[f"Api.{function.__name__}"] for name, function in endpoints(Api(*[None] * 9)).items()}  # type: ignore[arg-type]
    assert {name for name, action in by_action.items() if action not in OPEN_TO_PROGRAMS} == set(WITH_A_PAGE)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("v1_scene", (["x"],), "name is"),
        ("v1_scene", ("../etc",), "There is no scene"),
        ("v1_judge", (NAME, ["0", 1, "2", 99]), "names no two masks"),
        ("v1_judge", (NAME, "0:1"), "names no two masks"),
        ("v1_judge", (NAME, PAIR, "no-such-model"), "There is no model"),
        ("v1_label", (NAME, PAIR, "perhaps"), "decision is 'perhaps', expected one of same, different, unsure, skip"),
        ("v1_label", (NAME, PAIR, "same", 7), "annotator is 7"),
        ("v1_undo", ("all",), "label is 'all', expected a whole number"),
        ("v1_undo", (10**9,), "There is no label"),
        ("v1_groups", (None,), "There is no scene"),
        ("v1_queue_next", (NAME, "Ada", "no-such-queue"), "queue"),
    ],
)
def test_bad_arguments_are_one_sentence(client: Client, name: str, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(*arguments, api_name=f"/{name}")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    # No entity, no traceback: it is a sentence for a program.
    assert "&#" not in str(caught.value)


def test_long_work_is_started_with_the_cookie_of_a_page(address: str, client: Client) -> None:
    cookie = httpx.get(f"{address}/").headers["set-cookie"].partition(";")[0]
    own = Client(address, headers={"Cookie": cookie}, verbose=False)
    for name, arguments, sentence in (
        ("v1_group", (NAME, "guesses"), "evidence is 'guesses'"),
        ("v1_export", (NAME, "docx"), "format is 'docx'"),
        ("v1_import", ("", ""), "Give either path or upload"),
        ("v1_import", ("", "0" * 32), "There is no such upload"),
        ("v1_train", ("all",), "scenes is 'all', expected a list"),
        ("v1_train", ([NAME], "", "", -1), "pairs is -1"),
        ("v1_compare", ([], "base", "tuned"), "choose at least one scene"),
        ("v1_compare", ([NAME], "base", "base"), "Both models are"),
    ):
        with pytest.raises(AppError) as caught:
            own.predict(*arguments, api_name=f"/{name}")
        assert sentence in str(caught.value), name
    key = own.predict([NAME], "base", "tuned", 2, api_name="/v1_compare")["key"]
    listed = client.predict(api_name="/v1_comparisons")
    assert key in [one["key"] for one in listed]
