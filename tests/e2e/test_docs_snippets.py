"""What the documentation tells people to type works: every command is one that the program has, and what is cheap is run.

A block of shell, Python or JSON must stand in `TREATMENTS`, each of its commands with what is run instead (smaller sizes, a small
room) or with the reason why it is not run. A block or a command without an entry fails, so that nothing new goes untested.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from engine.assets import TUNED_ADAPTER
from engine.judging import registry
from tests.command_line import run_command
from tests.docs_blocks import PAGES, ROOT, Block, blocks, inline_commands
from tests.photo_rooms import textured_views, write_photos
from tests.training_room import write_training_room
from ui.cli import cli

AS_IT_IS = ""
EVALUATE_TUNED = "maskgroup evaluate sh3d_living --out out/tuned --model tuned --pairs 6 --min-area 1"
TINY_TRAINING = "--pairs 4 --epochs 1 --evaluation-pairs 4 --rank 2 --batch 4 --language-only --device cpu"


@dataclass(frozen=True)
class Instead:
    """What is run for a command: `flags` are added to it; `before` are commands that it takes for granted.

    Scenes' names are replaced by small rooms, unless `rooms` is false.
    """

    flags: str = AS_IT_IS
    before: tuple[str, ...] = ()
    rooms: bool = True


@dataclass(frozen=True)
class NotRun:
    """Why a command is only parsed."""

    reason: str


@dataclass(frozen=True)
class Shell:
    """A block of commands: by the beginning of each, what is done with it; `prepare` writes what it takes for granted."""

    commands: dict[str, Instead | NotRun]
    prepare: Callable[[Path], object] = field(default=lambda _: None)


@dataclass(frozen=True)
class Python:
    """A block of Python: `prepare` gives the names that it takes for granted; `replace` is put for words of it."""

    prepare: Callable[[Path], dict[str, Any]] = field(default=lambda _: {})
    replace: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Text:
    """A block that is nothing to type."""

    what: str


def grouped_room(folder: Path) -> dict[str, Any]:
    """What the grouping page's example takes for granted."""
    from engine.grouping.explanations import explain_group
    from engine.grouping.graph import Constraint, cut
    from engine.grouping.pair_judge import FramePairJudge
    from engine.grouping.pipeline import GroupingOptions, group_scene
    from engine.judging.registry import load_judge
    from engine.scenes import open_scene
    from engine.types import MaskKey
    from engine.views.frames import FrameSource

    scene = open_scene(write_training_room(folder))
    frames = FrameSource(scene)
    first, second = (MaskKey(view, min(frames.frame(view).mask_areas)) for view in scene.view_names[:2])
    return {
        "scene": scene, "frames": frames, "a": first, "b": second, "judge": load_judge("base"), "FramePairJudge": FramePairJudge,
        "GroupingOptions": GroupingOptions, "group_scene": group_scene, "cut": cut, "Constraint": Constraint,
        "explain_group": explain_group,
    }  # fmt: skip


def sam_photos(folder: Path) -> dict[str, Any]:
    """What the example of posed masks takes for granted."""
    masks = np.zeros((2, 12, 16), bool)
    masks[0, 2:8, 2:8], masks[1, 5:11, 9:15] = True, True
    return {"photos": [(np.full((12, 16, 3), 90 * number, np.uint8), masks) for number in range(2)]}


def own_photos(folder: Path) -> None:
    """What a person has photographed."""
    pytest.importorskip("pycolmap")
    write_photos(folder / "my_photos", textured_views())


HUB = NotRun("needs weights of the hub, which no test downloads")
OTHER_SERVER = NotRun("needs vLLM, which needs a GPU; the same commands are run against the tests' own server in test_endpoint")
TRAINED_ELSEWHERE = NotRun("README's block trains; test_train_command runs and resumes")
BENCH = NotRun("tests/bench/test_benches_run.py runs every benchmark, on a small room")
PLACE = NotRun("a folder or file, by which the page calls it")
IMPORTED = NotRun("needs a zip; test_import_command imports some")
EVALUATED = Instead("--pairs 6 --min-area 1")
TREATMENTS: dict[tuple[str, str], Shell | Python | Text] = {
    ("README.md", "make demo    # installs what is missing, then opens the app on the bundled room with the bundled model: "
     "http://127.0.0.1:7860"): Shell({"make demo": NotRun("installs and waits"), "make test": NotRun("it is what runs this")}),
    ("README.md", "maskgroup scenes                                              # the scenes there are"): Shell(
        {
            "maskgroup scenes": Instead(),
            "maskgroup import": IMPORTED,
            "maskgroup segment": Instead(),
            "maskgroup judge": Instead(rooms=False),
            "maskgroup render": Instead("--size 64x36"),
            "maskgroup group": Instead("--size 160x90"),
            "maskgroup evaluate": EVALUATED,
            "maskgroup compare": Instead(before=(EVALUATE_TUNED,)),
            "maskgroup train": Instead(TINY_TRAINING),
            "maskgroup ablation": Instead("--pairs 4"),
            "maskgroup agree": Instead("--pairs 4 --scene sh3d_living"),
            "maskgroup reproduce": NotRun("needs Replica; test_reproduce_command runs it on small rooms"),
            "maskgroup calibrate": Instead("--pairs 8 --dry-run"),
            "maskgroup labels export": Instead(),
            "maskgroup app": NotRun("serves until it is stopped; the browser tests start it"),
            "maskgroup doctor": Instead(),
        }
    ),
    ("README.md", "engine/            scenes, rendering, judging, grouping; imports nothing below"): Text("the tree"),
    ("docs/backends.md", "maskgroup evaluate sh3d_living --out runs/8b --model Qwen/Qwen3-VL-8B-Instruct --device cuda"): Shell(
        {"maskgroup evaluate": HUB, "maskgroup app": HUB}
    ),
    ("docs/backends.md", "vllm serve Qwen/Qwen3-VL-8B-Instruct --limit-mm-per-prompt '{\"image\": 2}' \\"): Shell(
        {"vllm serve": OTHER_SERVER, "maskgroup evaluate": OTHER_SERVER, "maskgroup compare": OTHER_SERVER}
    ),
    ("docs/backends.md", "vllm serve Qwen/Qwen3-VL-8B-Instruct --port 8001 --runner pooling --convert classify \\"): Shell(
        {"vllm serve": OTHER_SERVER, "maskgroup agree": OTHER_SERVER}
    ),
    ("docs/backends.md", "maskgroup agree --model tuned --model http://127.0.0.1:8000/v1#tuned"): Shell(
        {"maskgroup agree --model tuned": OTHER_SERVER, "maskgroup agree --model base": Instead("--pairs 4 --scene sh3d_living")}
    ),
    ("docs/backends.md", "from pathlib import Path"): Python(
        replace=(("SamplingSettings()", "SamplingSettings(pairs=12)"),)
    ),
    ("docs/evaluation.md", "maskgroup evaluate sh3d_living --out results/base  --model base  --negatives hard"): Shell(
        {"maskgroup evaluate": EVALUATED, "maskgroup compare": Instead()}
    ),
    ("docs/training.md", "maskgroup train                                   # all scenes of --scenes, 1000 pairs, seen twice"):
        Shell({"maskgroup train": TRAINED_ELSEWHERE}),
    ("docs/grouping.md", 'run = group_scene(scene, frames, options=GroupingOptions(evidence="both"), '
     "judge=FramePairJudge(judge, frames), report=print)"): Python(grouped_room),
    ("docs/segment.md", "maskgroup segment sh3d_living --out out/segmented"): Shell(
        {"maskgroup segment": Instead(), "maskgroup group": Instead()}
    ),
    ("docs/segment.md", "maskgroup segment sh3d_living --out out/sam --model facebook/sam2.1-hiera-small"): Shell(
        {"maskgroup segment": HUB}
    ),
    ("docs/segment.md", "maskgroup app --mask-model facebook/sam2.1-hiera-small"): Shell({"maskgroup app": HUB}),
    ("docs/segment.md", "python -m tests.bench.segment_fit ../shared/data/replica_like/sh3d_bedroom --rooms 12 --views 2 "
     "--only BY_SURFACE"): Shell({"python -m": NotRun("takes half an hour, and rooms that are not shipped")}),
    ("docs/segment.md", "python -m tests.bench.bench_segment sh3d_living --step 4"): Shell({"python -m": BENCH}),
    ("docs/exports.md", "maskgroup group sh3d_living --out groups"): Shell({
        "maskgroup group": Instead(),
        "maskgroup export groups": Instead(),
        "maskgroup export sh3d_living": NotRun("needs a run that the app kept; test_export_command exports one"),
    }),
    ("docs/scenes.md", "from pathlib import Path"): Python(sam_photos),
    ("docs/scenes.md", "my_scene/"): Text("a folder's layout"),
    ("docs/own-photos.md", "pip install 'maskgroup[photos]'                               # once: pycolmap, PyAV, "
     "pillow-heif"): Shell(
        {
            "pip install": NotRun("installs"),
            "maskgroup import": Instead(rooms=False),
            "maskgroup segment": Instead(rooms=False),
            "maskgroup group": Instead(rooms=False),
            "maskgroup export": Instead(rooms=False),
            "maskgroup app": NotRun("serves until it is stopped; the browser tests start it"),
        },
        own_photos,
    ),
    ("docs/photos.md", "room/"): Text("a folder's layout"),
    ("docs/photos.md", "pip install 'maskgroup[photos]'                  # pycolmap, PyAV, pillow-heif"): Shell({
        "pip install": NotRun("installs"),
        "maskgroup import": NotRun("photos of one's own; tests/unit/engine/importing/test_import_photos.py imports some"),
        "maskgroup group": NotRun("a scene of them; tests/e2e/test_photos.py groups one"),
    }),
    ("docs/deploy.md", "maskgroup app --allowed-host lab.example --root-path /maskgroup --trusted-proxy 127.0.0.1"): Shell(
        {"maskgroup app": NotRun("serves until it is stopped; test_behind_proxies starts it with these flags")}
    ),
    ("docs/api.md", "from gradio_client import Client"): Text("a program; tests/e2e/test_api.py runs it"),
    ("docs/api.md", "import time"): Text("a program; tests/e2e/test_api.py runs it"),
    ("docs/api.md", "import secrets"): Text("a program; tests/e2e/test_api.py runs it"),
    ("docs/api.md", "APP=http://localhost:7860"): Text("commands; tests/e2e/test_api.py runs them"),
    ("docs/deploy.md", "POSTGRES_PASSWORD=letters-and-digits-only"): Text("settings; test_container_files reads them"),
    ("docs/deploy.md", "docker compose up --build --detach"): Shell(
        {"docker compose": NotRun("no container engine ran; docs/deploy.md says what was done instead")}
    ),
    ("docs/deploy.md", "server {"): Text("of nginx; test_behind_proxies runs it"),
    ("docs/deploy.md", "lab.example {"): Text("of Caddy; test_behind_proxies runs it"),
    ("docs/security.md", "maskgroup app --host 0.0.0.0 --allowed-host lab.example --allowed-host 10.0.0.5"): Shell(
        {"maskgroup app": NotRun("serves until it is stopped; test_http_origins starts it with these flags")}
    ),
    ("docs/gpu.md", "python3 -m venv .venv && . .venv/bin/activate"): Shell(
        {"python3": NotRun("installs"), "pip install": NotRun("installs"), "maskgroup doctor": Instead()}
    ),
    ("docs/gpu.md", "maskgroup app --model Qwen/Qwen3-VL-8B-Instruct --also tuned"): Shell({"maskgroup app": HUB}),
    ("docs/gpu.md", "maskgroup reproduce /data/replica --out reproduced"): Shell(
        {"maskgroup reproduce": HUB, "maskgroup evaluate": HUB}
    ),
    ("docs/gpu.md", "maskgroup train /data/replica/office0 /data/replica/room1 --evaluate-on /data/replica/room0 "
     "--model Qwen/Qwen3-VL-8B-Instruct --name rooms-1"): Shell(
        {"maskgroup train": HUB, "maskgroup reproduce": HUB, "maskgroup compare": HUB}
    ),
    ("docs/gpu.md", "vllm serve Qwen/Qwen3-VL-8B-Instruct --limit-mm-per-prompt '{\"image\": 2}' \\"): Shell(
        {"vllm serve": OTHER_SERVER, "maskgroup agree": OTHER_SERVER, "maskgroup app": OTHER_SERVER}
    ),
    ("docs/gpu.md", "python -m tests.gpu.pack --out pack"): Shell(
        {"python -m": NotRun("tests/unit/gpu_prove packs and runs the steps at their smallest")}
    ),
    ("docs/scene-formats.md", "maskgroup check sh3d_living     # a folder, or a name in --scenes"): Shell(
        {"maskgroup check": Instead()}
    ),
    ("docs/scene-formats.md", "maskgroup import scan.zip                      # to scenes/ beside the app's database"):
        Shell({"maskgroup import": IMPORTED}),
    (
        "docs/scene-formats.md",
        '{"title": "Living room", "ignore_ids": [255], "mask_ids_are_instances": true, "classes": {"20": "chair", "21": "stool"}}',
    ): Text("a scene's settings"),
    ("docs/scene-formats.md", "<scene>/"): Text("a folder's layout"),
    ("docs/scene-formats.md", "<scene>/<view>/"): Text("a folder's layout"),
    ("docs/measuring.md", "git clone https://github.com/maskgroup/maskgroup"): Shell(
        {
            **dict.fromkeys(("git clone", "cd maskgroup"), NotRun("this is the checkout")),
            "make test": NotRun("it is what runs this"),
            ". .venv": NotRun("a shell's own command"),
            "python -m": BENCH,
        }
    ),
    ("docs/measuring.md", "apt-get download sweethome3d-furniture && dpkg -x sweethome3d-furniture_*.deb sh3d"): Shell(
        {"apt-get download": NotRun("fetches from Debian's servers"), "FURNITURE=": PLACE, "TSV=": PLACE, "python -m": BENCH}
    ),
    ("docs/measuring.md", "python -m finetune.bundled.training_rooms --out rooms --rooms 2"): Shell(
        {"python -m": NotRun("the rooms of other tests are made so"), "maskgroup evaluate": NotRun("README's block evaluates")}
    ),
    ("assets/models/tuned-lora/README.md", "from peft import PeftModel"): Python(
        replace=(("assets/models", str(ROOT / "assets" / "models")), ("PATH/OF/THIS/FOLDER", str(TUNED_ADAPTER)))
    ),
}  # fmt: skip
FOUND = blocks()


def ids(block: Block) -> str:
    return f"{Path(block.page).stem}: {block.key[1][:40]}"


def parse(arguments: Sequence[str]) -> None:
    """Let the real command line read a command, as far as running it."""
    command: Any = typer.main.get_command(cli)
    rest = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)


def source_of(module: str) -> str:
    """Return a module's text, and that of the other benchmarks that it takes options from."""
    found = find_spec(module)
    assert found is not None, f"there is no module {module}"
    assert found.origin is not None
    text = Path(found.origin).read_text(encoding="utf-8")
    shared = set(re.findall(r"^from (tests\.bench\.\w+) import", text, re.MULTILINE)) - {module}
    return "".join([text, *map(source_of, sorted(shared))])


def check_module(words: Sequence[str]) -> None:
    """Look whether a module has the options that a command `python -m MODULE ...` gives it."""
    module, *arguments = words
    if module == "pytest":
        assert all((ROOT / argument).is_file() for argument in arguments), arguments
        return
    text = source_of(module)
    given = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert {option for option in given if f'"{option}"' not in text} == set(), f"{module} has no such options"


def treatment(shell: Shell, command: str) -> Instead | NotRun:
    fitting = [start for start in shell.commands if command.startswith(start)]
    assert fitting, f"{command!r} has no entry in TREATMENTS: say what is run instead, or why it is not run"
    return shell.commands[max(fitting, key=len)]


def test_every_block_has_an_entry_and_every_entry_a_block() -> None:
    assert {block.key for block in FOUND} == set(TREATMENTS)
    for block in FOUND:
        treated = TREATMENTS[block.key]
        assert isinstance(treated, Text) or block.text.strip()
        assert isinstance(treated, Python) == (block.language == "python"), block
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("block", [b for b in FOUND if isinstance(TREATMENTS.get(b.key), Shell)], ids=ids)
def test_every_command_of_a_block_is_one_that_the_program_has(block: Block) -> None:
    shell = TREATMENTS[block.key]
    assert isinstance(shell, Shell)
    assert block.commands()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in block.commands():
        treatment(shell, command)
        name, *arguments = shlex.split(command)
        if name == "maskgroup":
            parse(arguments)
        if name == "make":
            assert set(arguments) <= targets
        if name == "python":
            check_module(arguments[1:])


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The scenes that stand for those of the documentation."""
    small, other = (str(write_training_room(tmp_path_factory.mktemp("rooms") / name)) for name in ("one", "two"))
    renamed = Path(other).rename(Path(other).with_name("other"))
    (renamed / "small_mesh.ply").rename(renamed / "other_mesh.ply")
    truth = renamed.parent / "ground_truth"
    (truth / "small.txt").rename(truth / "other.txt")
    return {"sh3d_living": small, "sh3d_bedroom": str(renamed), "SCENES...": f"{small} {renamed}"}


@pytest.mark.parametrize("block", [b for b in FOUND if isinstance(TREATMENTS.get(b.key), Shell)], ids=ids)
def test_the_commands_of_a_block_run(block: Block, rooms: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = TREATMENTS[block.key]
    assert isinstance(shell, Shell)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKGROUP_DB", str(tmp_path / "labels.db"))
    shell.prepare(tmp_path)
    for command in block.commands():
        way = treatment(shell, command)
        if isinstance(way, NotRun):
            continue
        for one in (*way.before, f"{command} {way.flags}"):
            words = [rooms.get(word, word) if way.rooms else word for word in one.split()]
            done = run_command(*shlex.split(" ".join(words))[1:])
            assert done.code == 0, (one, done.sentence)


@pytest.mark.parametrize("block", [b for b in FOUND if isinstance(TREATMENTS.get(b.key), Python)], ids=ids)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # An example adds a backend to the table: other tests have none of it.
    monkeypatch.setattr(registry, "BACKENDS", registry.BACKENDS)
    way = TREATMENTS[block.key]
    assert isinstance(way, Python)
    text = block.text
    for word, other in way.replace:
        assert word in text
        text = text.replace(word, other)
    exec(compile(text, block.page, "exec"), way.prepare(tmp_path))
    for written in tmp_path.glob("my_scene"):
        assert run_command("check", written).out.startswith("my_scene  posed masks")


@pytest.mark.parametrize(("page", "command"), sorted(set(inline_commands())))
def test_a_command_within_a_sentence_has_the_options_that_it_names(page: str, command: str) -> None:
    if command.startswith("python -m "):
        check_module(re.split(r"[\s\[\]]+", command.partition(" (")[0])[2:])
        return
    found: Any = typer.main.get_command(cli)
    words = [word for word in re.split(r"[\s\[\]|]+", command.partition(" (")[0]) if word][1:]
    while hasattr(found, "commands") and words and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    assert not hasattr(found, "commands"), f"{page}: {command!r} names no command"
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert given <= known, f"{page}: {command!r}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "measuring.md"], ids=lambda page: page.stem)
def test_a_page_says_what_its_commands_take(page: Path) -> None:
    """Benchmarks need a checkout, and some furniture or a room that are not shipped; docs/measuring.md says how to get them."""
    text = page.read_text(encoding="utf-8")
    assert "python tests/" not in text, "a benchmark is run as python -m tests.bench.NAME"
    commands = [command for where, command in inline_commands() if ROOT / where == page]
    needs = [command for command in commands if re.search(r"-m tests\.|\b(FURNITURE|TSV|BEDROOM)\b", command)]
    assert not needs or "measuring.md" in text, needs


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(AssertionError, match="no such options"):
        check_module(["tests.bench.bench_queues", "--no-such-option"])
    with pytest.raises(AssertionError, match="no module"):
        check_module(["tests.bench.bench_nothing"])
    with pytest.raises(Exception, match="No such option"):
        parse(["judge", "sh3d_living", "--a", "0:1", "--b", "0:2", "--no-such-option"])
    with pytest.raises(KeyError):
        parse(["no-such-command"])
