"""Command lines for `aws` or `dg`, many of them from one process that has imported the program once.

Run as a script, by the interpreter of that program: `python aws.py aws|dg AT_ONCE` reads a JSON list of jobs on
standard input, and writes the list of their exit codes. A job has `folder`, `lines` (lists of words) and `output`, a
path to which `.out` and `.err` of all its lines go. Each line is a process of its own, forked.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def aws() -> Callable[[list[str]], int]:
    """The AWS CLI."""
    from awscli import clidriver  # type: ignore[import-not-found]

    clidriver.create_clidriver()

    def run(words: list[str]) -> int:
        sys.argv = ["aws", *words]
        code: int = clidriver.main()
        return code

    return run


def dg() -> Callable[[list[str]], int]:
    """Ours."""
    import aioboto3  # noqa: F401

    from deltaglider_async.cli import carry_out, copying, main, progress  # noqa: F401
    from deltaglider_async.session import create_client  # noqa: F401

    def run(words: list[str]) -> int:
        sys.argv = ["dg", *words]
        main.run()
        return 0

    return run


def line(run: Callable[[list[str]], int], words: list[str], job: dict[str, Any]) -> int:
    """Run one line in a process of its own; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(job["folder"])
    for descriptor, suffix in ((1, "out"), (2, "err")):
        file = os.open(f"{job['output']}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
    if "<" in words:
        words, source = words[: words.index("<")], words[-1]
        os.dup2(os.open(source, os.O_RDONLY), 0)
    code: Any = 99
    try:
        code = run(words)
    except SystemExit as leaving:
        code = leaving.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code or 0))


def work(run: Callable[[list[str]], int], jobs: list[dict[str, Any]], at_once: int) -> list[int]:
    """Run jobs side by side; their exit codes, that of the last line of each."""
    codes = [0] * len(jobs)
    running: dict[int, int] = {}
    for number, job in enumerate(jobs):
        if len(running) >= at_once:
            ended, status = os.wait()
            codes[running.pop(ended)] = os.waitstatus_to_exitcode(status)
        child = os.fork()
        if not child:
            code = 0
            for words in job["lines"]:
                code = line(run, words, job)
            os._exit(code)
        running[child] = number
    while running:
        ended, status = os.wait()
        codes[running.pop(ended)] = os.waitstatus_to_exitcode(status)
    return codes


if __name__ == "__main__":
    program = {"aws": aws, "dg": dg}[sys.argv[1]]()
    print(json.dumps(work(program, json.load(sys.stdin), int(sys.argv[2]))))
