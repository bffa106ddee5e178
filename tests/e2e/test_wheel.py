"""The wheel holds all that the program needs: installed from it, away from the checkout, it lists, judges and migrates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what git would hand out, so that nothing left lying in the checkout slips in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, listed):
        if (CHECKOUT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).symlink_to(CHECKOUT / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, cwd=out, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, and this environment's packages but not its checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A plain line adds the folder without running its own .pth files, one of which would lead back to the checkout.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(wheel)], check=True, capture_output=True)
    return folder / "bin" / "python"


def run(program: Path, folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MASKGROUP_"))}
    done = subprocess.run(
        [program, "-m", "ui", *arguments],
        cwd=folder,
        env=clean | {"XDG_DATA_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_scene_model_prompts_styles_and_migrations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "-z", "assets", "engine", "finetune", "db", "ui"], cwd=CHECKOUT, capture_output=True, check=True
    )
    wanted = {name for name in listed.stdout.decode().split("\0") if name and (CHECKOUT / name).is_file()}
    assert wanted, "git lists what there is"
    assert wanted <= names


def test_an_installed_program_works_away_from_the_checkout(program: Path, tmp_path: Path) -> None:
    assert run(program, tmp_path, "--version").startswith("maskgroup ")
    assert "sh3d_living" in run(program, tmp_path, "scenes")
    view, mask = "0", first_mask(program, tmp_path)
    verdict = json.loads(run(program, tmp_path, "judge", "sh3d_living", "--a", f"{view}:{mask}", "--b", f"{view}:{mask}", "--json"))
    assert 0 <= verdict["p_same"] <= 1
    run(program, tmp_path, "labels", "export", "--out", str(tmp_path / "labels.jsonl"))
    assert (tmp_path / "maskgroup" / "labels.db").is_file()


def first_mask(program: Path, folder: Path) -> int:
    """Return a mask of the bundled scene's view 0, and see that the code that found it is the installed one."""
    script = (
        "import engine.assets as a, pathlib; from engine.scenes import find_scene;"
        "from engine.views.frames import FrameSource;"
        "frame = FrameSource(find_scene('sh3d_living', a.SCENES_DIR)).frame('0');"
        "print(pathlib.Path(a.__file__).parent); print(max(frame.mask_areas, key=frame.mask_areas.get))"
    )
    done = subprocess.run(
        [program, "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    where, mask = done.stdout.split()
    assert not Path(where).is_relative_to(CHECKOUT)
    return int(mask)
