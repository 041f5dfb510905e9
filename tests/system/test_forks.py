"""Processes and threads: whoever calls, by whatever way it was started, gets an answer, and the same one.

Each program runs by itself, with a limit of time: what hangs is killed, with all that it started, and fails.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 120  # for a program that answers in some seconds: the machine may be busy

BEGIN = """
import json, multiprocessing, os, sys
import numpy as np

SCAN = np.random.default_rng(0).normal(0, 30, (7, 20, 18)).astype(np.float32)
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])


def enhanced(threads=None, fit="none"):
    import torch
    import thinslice
    result = thinslice.enhance(SCAN, affine=AFFINE, factor=2, fit=fit, iterations=1, threads=threads)
    for ending in ("nrrd", "nii.gz"):
        path = f"{os.getpid()}.{ending}"
        result.save(path, overwrite=True)
        assert thinslice.read(path, allow_derived=True).shape == result.volume.shape
    warned = "RES-THREADS" in [warning["code"] for warning in result.record["warnings"]]
    return round(float(result.volume.hu.std()), 3), result.record["device"]["threads"], warned


def enhanced_only(threads, fit):
    import thinslice
    result = thinslice.enhance(SCAN, affine=AFFINE, factor=2, fit=fit, iterations=1, threads=threads)
    return float(result.volume.hu.astype(float).sum()), result.record["device"]["threads"]


def told(*answers):
    print(json.dumps(answers), flush=True)


def in_os_fork(threads):
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, json.dumps(enhanced(threads)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return json.loads(pipe.read())


def in_process(method, *arguments):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply(enhanced, arguments)


class Scans:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return enhanced()


def in_loader():
    from torch.utils.data import DataLoader
    return next(iter(DataLoader(Scans(), batch_size=None, num_workers=1, multiprocessing_context="fork")))
"""


def answers(program: str, folder: Path) -> list:
    """What a program told, run with two threads."""
    (folder / "program.py").write_text(BEGIN + "\n\nif __name__ == '__main__':\n    " + program)
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    process = subprocess.Popen(
        [sys.executable, "program.py"], cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        pytest.fail("no answer: it hangs", pytrace=False)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


def test_a_fork_after_use_answers_with_one_thread_and_says_so_where_more_were_asked_for(tmp_path: Path) -> None:
    parent, plain, one, two, raw, loader, fit_before, fit = answers(
        "told(enhanced(), in_process('fork'), in_process('fork', 1), in_process('fork', 2), in_os_fork(2), "
        "in_loader(), enhanced(None, 'auto'), in_process('fork', None, 'auto'))",
        tmp_path,
    )
    assert parent[1:] == fit_before[1:] == [2, False]
    assert plain == one == loader == [parent[0], 1, False]
    assert two == raw == [parent[0], 1, True]
    assert fit == [fit_before[0], 1, False]


def test_a_fork_of_what_used_pytorch_alone_answers_with_one_thread(tmp_path: Path) -> None:
    """Thinslice is first imported in the child, which cannot see whether PyTorch was used before it was there."""
    pool, raw = answers(
        "import torch; torch.set_num_threads(2); torch.randn(300, 300).matmul(torch.randn(300, 300)).exp().sum(); "
        "told(in_process('fork', 2), in_os_fork(None))",
        tmp_path,
    )
    assert pool == [raw[0], 1, True]
    assert raw[1:] == [1, False]


def test_other_processes_have_all_their_threads(tmp_path: Path) -> None:
    """Those forked before any use, and those that were started in another way."""
    *children, parent = answers(
        "import thinslice; told(*[in_process(method, 2) for method in ('fork', 'forkserver', 'spawn')], enhanced())",
        tmp_path,
    )
    assert children == 3 * [[parent[0], 2, False]]


def test_threads_of_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Neither the random weights of fits from nothing, nor the number of threads that others begin with.

    MKL has one number of threads for the whole process: the last bits of a sum may differ, and nothing else.
    """
    alone, together, after = answers(
        "from concurrent.futures import ThreadPoolExecutor; import torch; "
        "pool = lambda jobs: list(ThreadPoolExecutor(4).map(lambda job: enhanced_only(*job), jobs)); "
        "jobs = [(None, 'scan'), (1, 'scan'), (2, 'scan'), (None, 'scan')]; "
        "alone = [enhanced_only(*job) for job in jobs]; together = pool(jobs); "
        "fresh = ThreadPoolExecutor(1).submit(torch.get_num_threads).result(); "
        "told(alone, together, [torch.get_num_threads(), fresh])",
        tmp_path,
    )
    assert [figure for figure, _ in together] == pytest.approx([figure for figure, _ in alone], rel=1e-7)
    assert [threads for _, threads in together] == [threads for _, threads in alone] == [2, 1, 2, 2]
    assert after == [2, 2]
