"""Breaks a scene's folder in one of many ways, decided by a random generator: the same seed gives the same folder."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = (
    "nan", "inf", "-inf", "1e300", "-1e300", "1e30", "1e-9", "0", "-1", "1_000", "0x10", "100.7", "1.001e+03", "1,5", "1.000,5", "",
    "٣", "²", "−1", "1e999", "99999999999999999999", "2147483648", "4294967295", "65535", "1.#IND", "1D+00", "True", "x", "\x00", "#", ";",
    "9" * 400, "1e-400", "0.5.5", "--1", "+", "1e", "ｎａｎ",
)  # fmt: skip
NAMES = (
    "1²3", "10²", "٣", " ", "a b", "-rf", "--help", "é", "e\u0301", "x\ny", "x\ty", "\u202egnp", "A", "a", "." , "..hidden", "._0", "Thumbs.db",
    "desktop.ini", ".DS_Store", "con", "a" * 200, "0" * 240, "😀", "0.color", "0.pose", "*", "$(id)", "%s%n", "'\"", "<b>", "\udcff",
)  # fmt: skip
SIZES = ((1, 1), (24, 32), (64, 48), (32, 23), (33, 24), (8, 8), (3, 500), (320, 240))
MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK", "YCbCr")
PLY_TYPES = ("char", "uchar", "short", "ushort", "int", "uint", "float", "double", "int8", "uint64", "list", "O", "float128", "")
PLY_LINES = (
    b"comment caf\xe9", b"obj_info x", b"element junk 3", b"property int junk", b"property list uchar int more", b"element vertex 5",
    b"format ascii 2.0", b"", b"end_header", b"property list double double vertex_indices", b"element tristrips 1", b"\xff\xfe",
)  # fmt: skip
JSON_VALUES = (None, True, -1, 0, 1.5, 2**31, 2**31 - 2, 2**63, 10**30, "x", [], {}, [[]], [None], float("nan"), ["1"], [[1]])
HUGE = 3 * 2**30

Random = random.Random
Mutation = Callable[[Random, Path], object]


def mutate(rng: Random, folder: Path) -> list[str]:
    """Break a folder in one to three ways; returns their names."""
    done: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        chosen = rng.choice(MUTATIONS)
        try:
            chosen(rng, folder)
        except (OSError, ValueError, LookupError, TypeError, SyntaxError, EOFError, RecursionError, struct.error):
            continue  # an earlier mutation took away what this one needs
        done.append(chosen.__name__)
    return done


def _files(folder: Path, *suffixes: str) -> list[Path]:
    paths = [Path(at) / name for at, _, names in os.walk(folder) for name in names]
    return sorted(path for path in paths if not path.is_symlink() and path.is_file() and (not suffixes or path.suffix in suffixes))


def _pick(rng: Random, folder: Path, *suffixes: str) -> Path:
    return rng.choice(_files(folder, *suffixes))


def _pick_text(rng: Random, folder: Path, *suffixes: str) -> Path:
    """Pick a file to be read as text, which takes many times its size."""
    path = _pick(rng, folder, *suffixes)
    if path.stat().st_size > 2**27:
        raise ValueError("an earlier mutation made it too large to be read here")
    return path


def drop(rng: Random, folder: Path) -> None:
    _pick(rng, folder).unlink()


def drop_folder(rng: Random, folder: Path) -> None:
    shutil.rmtree(rng.choice(sorted(path for path in folder.iterdir() if path.is_dir())))


def rename(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder)
    path.rename(path.with_name(rng.choice(NAMES) + rng.choice((path.suffix, path.suffix.upper(), ""))))


def rename_folder(rng: Random, folder: Path) -> None:
    path = rng.choice(sorted(path for path in folder.iterdir() if path.is_dir()))
    path.rename(path.with_name(rng.choice((*NAMES, path.name.upper(), path.name + "s"))))


def duplicate(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder)
    name = rng.choice(
        (path.stem.upper() + path.suffix.upper(), path.stem + ".jpg", "._" + path.name, rng.choice(NAMES) + path.suffix)
    )
    shutil.copy(path, path.with_name(name))


def swap(rng: Random, folder: Path) -> None:
    first, second = _pick(rng, folder), _pick(rng, folder)
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def truncate(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder)
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])


def flip_bits(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 4, 32))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def flip_early_bits(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
    path.write_bytes(data)


def replace_by_noise(rng: Random, folder: Path) -> None:
    _pick(rng, folder).write_bytes(rng.randbytes(rng.choice((0, 1, 100, 5000))))


def replace_by_special(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder)
    path.unlink()
    kind = rng.randrange(9)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to("/dev/zero")
    elif kind == 3:
        path.symlink_to("/etc/passwd")
    elif kind == 4:
        path.symlink_to(path.name)
    elif kind == 5:
        path.symlink_to("gone")
    elif kind == 6:
        with socket.socket(socket.AF_UNIX) as own:
            own.bind(str(path))
    elif kind == 7:
        path.symlink_to("../" * 30 + "proc/self/environ")
    else:
        path.touch()
        os.truncate(path, HUGE)


def make_sparse(rng: Random, folder: Path) -> None:
    os.truncate(_pick(rng, folder), rng.choice((HUGE, 70 * 2**20, 2**20)))


def add_files(rng: Random, folder: Path) -> None:
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    for _ in range(rng.randrange(1, 5)):
        name = rng.choice((*NAMES, "__MACOSX", "poses", "masks", "color", "maskgroup.json", "depth_scale.txt", "0", "sequence"))
        path = rng.choice(places) / (name + rng.choice(("", ".png", ".txt", ".jpg", ".json", ".ply")))
        if rng.random() < 0.3:
            path.mkdir()
        else:
            path.write_bytes(rng.choice((b"", b"x", b"{}", b'{"ignore_ids": 3}', rng.randbytes(50))))


def change_word(rng: Random, folder: Path) -> None:
    path = _pick_text(rng, folder, ".txt")
    words = re.split(r"(\s+)", path.read_text())
    for _ in range(rng.choice((1, 1, 3))):
        words[rng.randrange(len(words))] = rng.choice(WORDS)
    path.write_text("".join(words), encoding="utf-8")


def change_text_form(rng: Random, folder: Path) -> None:
    path = _pick_text(rng, folder, ".txt", ".json", ".xml", ".yaml")
    text = path.read_text()
    text = rng.choice((
        text.replace("\n", "\r\n"), text.replace("\n", "\r"), text.replace(" ", "\t"), text.replace(" ", ";"), text.replace(" ", ","),
        text.replace(".", ","), text.replace(".", ",").replace(" ", ";"), "# comment é\n" + text, text + "\0", text * 3, text[::-1],
        text.replace("\n", ";\n"), text.replace(" ", "\u00a0"), text.replace("-", "−"), text.replace("\n", " "), text.replace("\n", "\n\n"),
    ))  # fmt: skip
    path.write_bytes(text.encode(rng.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")), "replace"))


def change_matrix(rng: Random, folder: Path) -> None:
    path = _pick_text(rng, folder, ".txt")
    matrix = np.atleast_2d(np.loadtxt(path))
    kind = rng.randrange(7)
    if kind == 0:
        matrix = matrix.T
    elif kind == 1:
        matrix = matrix * rng.choice((-1.0, 1e3, 1e-9, 1e300, 0.0))
    elif kind == 2:
        matrix[rng.randrange(matrix.shape[0]), rng.randrange(matrix.shape[1])] = rng.choice(
            (np.nan, np.inf, 1e30, 1e308, -1e5, 0.0)
        )
    elif kind == 3:
        matrix = matrix[: rng.randrange(matrix.shape[0] + 1)]
    elif kind == 4:
        matrix = np.pad(matrix, 1)
    elif kind == 5:
        matrix[..., -1] += rng.choice((1e4, 1e6, 1e30, -1e3))
    else:
        matrix = np.random.default_rng(rng.randrange(99)).normal(size=matrix.shape)
    np.savetxt(path, matrix)


def change_picture(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder, ".png")
    mode, (width, height) = rng.choice(MODES), rng.choice((*SIZES, (32, 24), (32, 24), (32, 24)))
    noise = np.random.default_rng(rng.randrange(999))
    high = rng.choice((2, 4, 256, 65536))
    if mode in ("I;16", "I"):
        image = Image.fromarray(noise.integers(0, high, (height, width)).astype(np.uint16 if mode == "I;16" else np.int32))
    elif mode == "F":
        image = Image.fromarray(noise.normal(size=(height, width)).astype(np.float32))
    else:
        image = Image.fromarray(noise.integers(0, min(high, 256), (height, width)).astype(np.uint8)).convert(mode)
    kind = rng.choice(("PNG", "PNG", "PNG", "TIFF", "BMP", "GIF", "JPEG", "PPM", "WEBP", "ICO", "PDF"))
    exif = Image.Exif()
    exif[274] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535))
    extra = {"exif": exif} if kind in ("PNG", "TIFF", "JPEG", "WEBP") and rng.random() < 0.5 else {}
    out = io.BytesIO()
    image.save(out, format=kind, **extra)
    path.write_bytes(out.getvalue())


def lie_in_png_header(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder, ".png")
    data = bytearray(path.read_bytes())
    sides = (0, 1, 8, 10_000, 13_000, 30_000, 2**31 - 1, 2**32 - 1)
    data[16:24] = struct.pack(">II", rng.choice(sides), rng.choice(sides))
    if rng.random() < 0.3:
        data[24:26] = bytes((rng.choice((1, 2, 4, 8, 16, 33)), rng.choice((0, 2, 3, 4, 6, 9))))
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def add_png_chunk(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder, ".png")
    data = path.read_bytes()
    kind = rng.choice((b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"eXIf", b"PLTE", b"tRNS", b"acTL", b"fdAT"))
    body = rng.choice((b"k\0\0" + zlib.compress(b"\0" * 30_000_000, 9), rng.randbytes(40), b"", b"MM\0*" + rng.randbytes(30)))
    chunk = (
        struct.pack(">I", rng.choice((len(body), len(body), 2**31 - 1))) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    )
    path.write_bytes(data[:33] + chunk + data[33:])


def make_bomb(rng: Random, folder: Path) -> None:
    side = rng.choice((7000, 9000, 13000))
    rows = zlib.compressobj(9)
    line = b"\0" * (side * 3 + 1)
    body = b"".join(rows.compress(line) for _ in range(rng.choice((5, side // 8)))) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(own)) + kind + own + struct.pack(">I", zlib.crc32(kind + own)) for kind, own in parts)
    _pick(rng, folder, ".png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def change_ply_header(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder, ".ply")
    head, end, body = path.read_bytes().partition(b"end_header\n")
    lines = head.split(b"\n")
    kind, at = rng.randrange(9), rng.randrange(1, len(lines) - 1)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, rng.choice(PLY_LINES))
    elif kind == 2:
        rng.shuffle(lines)
    elif kind == 3:
        words = lines[at].split()
        words[rng.randrange(len(words))] = rng.choice((*PLY_TYPES, "-1", "0", "1", "50000000", "9" * 30, "1e3", "²")).encode()
        lines[at] = b" ".join(words)
    elif kind == 4:
        count = rng.choice((0, 1, 23, 25, 10**6, 5 * 10**7, 2**31, 2**63, 10**40))
        lines = [
            re.sub(rb"(element (vertex|face)) \d+", rb"\g<1> " + str(count).encode(), line) if rng.random() < 0.7 else line
            for line in lines
        ]
    elif kind == 5:
        lines = [re.sub(rb"\b(uchar|int|float)\b", rng.choice(PLY_TYPES).encode(), line) for line in lines]
    elif kind == 6:
        order = rng.choice((b"binary_little_endian", b"binary_big_endian", b"ascii", b"binary"))
        lines = [line.replace(b"ascii", order) for line in lines]
    elif kind == 7:
        ending = rng.choice((b"\r\n", b"\r"))
        path.write_bytes(ending.join(lines) + b"end_header" + ending + rng.choice((body, body.replace(b"\n", ending))))
        return
    else:
        lines += [b"comment " + b"x" * 100] * rng.choice((10, 5000))
    path.write_bytes(b"\n".join(lines) + end + body)


def rewrite_ply(rng: Random, folder: Path) -> None:
    """Write a binary mesh with unusual but possible faces."""
    path = _pick(rng, folder, ".ply")
    order, letter = rng.choice((("little", "<"), ("big", ">")))
    counts = [rng.choice((3, 3, 3, 4, 2, 1, 0, 5, 255)) for _ in range(rng.choice((1, 12, 40)))]
    count_type, index_type = rng.choice(
        (("uchar", "int"), ("uint", "uint"), ("double", "double"), ("int", "float"), ("ushort", "short"))
    )
    codes = {"uchar": "B", "int": "i", "uint": "I", "double": "d", "float": "f", "ushort": "H", "short": "h"}
    extra = rng.random() < 0.5
    highest = rng.choice((23, 23, 24, 30_000))
    faces = b"".join(
        struct.pack(letter + codes[count_type], n)
        + struct.pack(letter + codes[index_type] * n, *(rng.randrange(highest + 1) for _ in range(n)))
        + (struct.pack(letter + "f", 0.5) if extra else b"")
        for n in counts
    )
    vertices = np.random.default_rng(rng.randrange(99)).normal(size=(24, 3)).astype(letter + "f4").tobytes()
    vertex_head = "element vertex 24\nproperty float x\nproperty float y\nproperty float z\n"
    face_head = (
        f"element face {len(counts)}\nproperty list {count_type} {index_type} vertex_indices\n" + "property float quality\n" * extra
    )
    parts = [(vertex_head, vertices), (face_head, faces)]
    if rng.random() < 0.3:
        parts.reverse()
    head = f"ply\nformat binary_{order}_endian 1.0\ncomment written by a test\n" + "".join(own for own, _ in parts) + "end_header\n"
    path.write_bytes(head.encode() + b"".join(own for _, own in parts))


def promise_empty_faces(rng: Random, folder: Path) -> None:
    count = rng.choice((1000, 2_000_000, 39_000_000))
    head = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {count}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path = _pick(rng, folder, ".ply")
    path.write_bytes(head.encode() + b"\0" * 36)
    os.truncate(path, len(head) + 36 + count)


def change_json(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder, ".json")
    content = json.loads(path.read_text())
    at: object = content
    for _ in range(rng.randrange(4)):
        children = list(at.values()) if isinstance(at, dict) else at if isinstance(at, list) else []
        inner = [child for child in children if isinstance(child, (dict, list)) and child]
        if not inner:
            break
        at = rng.choice(inner)
    value = rng.choice(JSON_VALUES)
    if isinstance(at, dict):
        at[rng.choice([*at, "extra"])] = value
    elif isinstance(at, list) and at:
        at[rng.randrange(len(at))] = value
    path.write_text(json.dumps(content))


def break_json(rng: Random, folder: Path) -> None:
    text = rng.choice(
        ("[" * 200_000, "{", "[1, 2]", "3", "", '{"segIndices": [' + "1," * 50_000, '{"a": ' * 5000, "9" * 6000, "NaN")
    )
    _pick(rng, folder, ".json").write_text(text)


def change_array(rng: Random, folder: Path) -> None:
    path = _pick(rng, folder, ".npy", ".npz")
    if path.suffix == ".npz":
        change_archive(rng, path)
        return
    kind = rng.randrange(8)
    shape = rng.choice(((24, 32), (32, 24), (24,), (24, 32, 1), (0, 0), (1, 1), ()))
    values = np.ones(shape, rng.choice((np.int32, np.int64, np.uint8, np.uint64, np.float32, np.bool_, np.complex64, "U3", ">i4")))
    if kind == 0:
        np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    elif kind == 1:
        np.savez(path.with_suffix(""), values)
        path.with_suffix(".npz").replace(path)
    elif kind == 2:
        np.save(path, np.full((24, 32), rng.choice((2**31, 2**40, -(2**40), 2**62))))
    elif kind == 3:
        head = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {rng.choice(((10**9, 10**9), (-1, 5), (2**40,), (24, 32)))}, }}\n".encode()
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    elif kind == 4:
        path.write_bytes(
            b"\x93NUMPY" + bytes((rng.choice((1, 2, 3, 9)), 0)) + struct.pack("<I", rng.choice((0, 100, 2**32 - 1))) + b"(" * 3000
        )
    elif kind == 5:
        np.save(path, np.asfortranarray(np.ones((24, 32), np.int16)))
    else:
        np.save(path, values)


def change_archive(rng: Random, path: Path) -> None:
    """Write another .npz of masks: of other types and shapes, pickled, with several arrays, or with a lie in a header."""
    kind = rng.randrange(6)
    shape = rng.choice(((2, 24, 32), (2, 1, 24, 32), (24, 32), (24, 32, 2), (0, 24, 32), (1, 1), (), (3, 32, 24), (12_000, 24, 32)))
    masks = np.ones(shape, rng.choice((np.bool_, np.uint8, np.int64, np.uint64, np.float32, np.complex64, "U3", ">i4")))
    if kind == 0:
        np.savez(path, masks=np.array([{"segmentation": 1}], object), allow_pickle=True)
    elif kind == 1:
        np.savez(path, **{f"array{number}": masks for number in range(rng.choice((0, 2, 1200)))})
    elif kind == 2:
        with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))) as archive:
            sides = rng.choice(((10**9, 10**9, 4), (-1, 24, 32), (400, 1000, 1000), (2**40,), (24, 32)))
            head = f"{{'descr': '|b1', 'fortran_order': {rng.random() < 0.5}, 'shape': {sides}, }}\n".encode()
            data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(rng.choice((0, 1536, 100_000_000)))
            archive.writestr("masks.npy", data)
    elif kind == 3:
        np.savez_compressed(path, masks=np.asfortranarray(masks))
    else:
        np.savez_compressed(path, **{rng.choice(("masks", "segmentation", "ids")): masks})


MUTATIONS: tuple[Mutation, ...] = (
    drop, drop_folder, rename, rename, rename_folder, duplicate, duplicate, swap, truncate, truncate, flip_bits, flip_bits, flip_early_bits,
    flip_early_bits, replace_by_noise, replace_by_special, replace_by_special, make_sparse, add_files, add_files, change_word, change_word,
    change_text_form, change_text_form, change_matrix, change_matrix, change_picture, change_picture, change_picture, lie_in_png_header,
    add_png_chunk, make_bomb, change_ply_header, change_ply_header, change_ply_header, rewrite_ply, rewrite_ply, promise_empty_faces,
    change_json, change_json, break_json, change_array, change_array,
)  # fmt: skip
