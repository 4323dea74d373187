"""The one build of llama.cpp that everything here stands on, made from llama-cpp-python's source distribution.

It gives the Python binding, the real `llama-server` and `llama-quantize`, and the GGUF converters, all of one commit.

    python -m truemark.toolchain        build once (minutes), keep the wheel in the cache, install it
    toolchain.binary("llama-server")    path of a program
    toolchain.converter("convert_hf_to_gguf.py")

The wheel is kept in a directory of ours because pip caches a built wheel under one name whatever its CMake flags.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from truemark.console import progress, say
from truemark.errors import MissingDependency
from truemark.files import publish_directory
from truemark.settings import cache_dir, threads

VERSION = "0.3.36"
CMAKE_ARGS = (
    "-DLLAVA_BUILD=OFF -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON "
    "-DLLAMA_TOOLS_INSTALL=ON -DLLAMA_USE_PREBUILT_UI=OFF"
)
MEND = "make install   (or: python -m truemark.toolchain)"


def binary(name: str) -> Path:
    """Path of a llama.cpp program, e.g. `llama-server`. Raises MissingDependency when the build is absent."""
    path = _site() / "bin" / name
    if not path.is_file():
        raise MissingDependency(f"{name} is not installed: expected {path}", mend=MEND)
    return path


def environment() -> dict[str, str]:
    """The process environment in which those programs find their shared libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": str(_site() / "lib")}


def converter(name: str) -> Path:
    """Path of a converter script in llama.cpp's source tree; the source is fetched on first use."""
    path = source_tree() / name
    if not path.is_file():
        raise MissingDependency(f"{name} is not in the source of llama-cpp-python {VERSION}", mend=MEND)
    return path


def source_tree() -> Path:
    """`vendor/llama.cpp` of the pinned source distribution, unpacked in the cache (without its C++ sources)."""
    out = cache_dir() / f"llama.cpp-{VERSION}"
    if not out.is_dir():
        with publish_directory(out) as tmp, tarfile.open(_sdist()) as archive:
            wanted = re.compile(r"[^/]+/vendor/llama\.cpp/((?:convert_[^/]+\.py|conversion/|gguf-py/).*)")
            for member in archive.getmembers():
                match = wanted.fullmatch(member.name)
                if match and member.isfile():
                    member.name = match[1]
                    archive.extract(member, tmp, filter="data")
    return out


def install() -> None:
    """Install the built wheel into this environment, building it first when the cache has none."""
    try:
        binary("llama-server")
        return
    except MissingDependency:
        wheel = _wheel()
    _pip("install", "--no-deps", "--force-reinstall", str(wheel))
    _pip("install", f"llama-cpp-python=={VERSION}")  # its own requirements, most of which are here already


def _wheel() -> Path:
    wheels = cache_dir() / "wheels" / f"llama-cpp-python-{VERSION}-{_build_key()}"
    if not wheels.is_dir():
        if shutil.which("c++") is None and shutil.which("g++") is None:
            raise MissingDependency("llama.cpp needs a C++ compiler", mend="apt-get install g++")
        with publish_directory(wheels) as tmp:
            _build(_sdist(), tmp)
    return next(wheels.glob("*.whl"))


def _build_key() -> str:
    """Wheels built for this processor are not for another (GGML_NATIVE)."""
    flags = next((line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("flags")), "")
    text = "\n".join((CMAKE_ARGS, sys.version, sysconfig.get_platform(), flags))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _build(sdist: Path, out: Path) -> None:
    env = {**os.environ, "CMAKE_ARGS": CMAKE_ARGS, "CMAKE_BUILD_PARALLEL_LEVEL": str(threads())}
    if shutil.which("ninja"):
        env["CMAKE_GENERATOR"] = "Ninja"
    say(f"building llama.cpp (llama-cpp-python {VERSION}) once, for this processor; about 4 minutes on 2 cores")
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-cache-dir", "-w", str(out), str(sdist)]
    tail: list[str] = []
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as run:
        assert run.stdout is not None
        with progress("llama.cpp build", total=268) as advance:
            for line in run.stdout:
                tail = [*tail[-40:], line]
                if re.match(r"\s*\[\s*\d+/\d+\] |\s*\[\s*\d+%\] Building", line):
                    advance()
    if run.returncode:
        raise MissingDependency(
            "building llama.cpp failed:\n" + "".join(tail),
            mend="apt-get install g++ cmake ninja-build, then make install",
        )


def _sdist() -> Path:
    out = cache_dir() / "sdist"
    found = sorted(out.glob(f"llama_cpp_python-{VERSION}.tar.gz"))
    if not found:
        with publish_directory(out) as tmp:
            _pip(
                "download",
                "--no-deps",
                "--no-binary",
                "llama-cpp-python",
                "-d",
                str(tmp),
                f"llama-cpp-python=={VERSION}",
            )
        found = sorted(out.glob("*.tar.gz"))
    return found[0]


def _pip(*arguments: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pip", arguments[0], "-q", *arguments[1:]], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise MissingDependency(
            f"pip {arguments[0]} failed: {run.stderr.strip()[-2000:]}", mend="check the network, then make install"
        )


def _site() -> Path:
    return Path(sysconfig.get_paths()["purelib"])


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    install()
