"""Many nights at a time, on one machine or on a cluster: one option, existing engines."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any, TypeVar

from sleep2vec.vocabulary.errors import UsageError

Job = TypeVar("Job")
Result = TypeVar("Result")
Work = Callable[[Job], Result]
Outcomes = Iterator[tuple[Job, Result | None]]
"""Each job with its result, in the order they are done; None where its process was killed."""

_PER_WORKER = 2  # jobs that joblib hands out ahead
_MOST_WAIT_S = 60


def run_jobs(
    work: Work[Job, Result],
    jobs: Sequence[Job],
    *,
    engine: str = "joblib",
    workers: int = 1,
    scheduler: str | None = None,
) -> Outcomes[Job, Result]:
    """Do `work` for every job.

    Args:
        work: importable by its name, as other processes need it.
        engine: a key of `ENGINES`.
        workers: processes; with the scheduler of a cluster, as many as it has.
        scheduler: address of a running Dask scheduler (``tcp://host:8786``).

    Raises:
        UsageError: there is no such engine, it is not installed, or the scheduler does not answer.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}; choose from {', '.join(ENGINES)}.")
    if scheduler and engine != "dask":
        raise UsageError(f"--scheduler is for --engine dask, and the engine is {engine}.")
    if engine == "joblib" and (workers <= 1 or len(jobs) <= 1):
        yield from ((job, work(job)) for job in jobs)
        return
    yield from ENGINES[engine](work, jobs, workers, scheduler)


def _joblib(work: Work[Job, Result], jobs: Sequence[Job], workers: int, scheduler: str | None) -> Outcomes[Job, Result]:
    """Processes of this machine. A killed one (out of memory) costs its night, not the ingest."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = dict(enumerate(jobs))
    ahead = _PER_WORKER * workers
    while left:
        pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=ahead)
        tasks = [delayed(_numbered)(work, number, job) for number, job in left.items()]
        try:
            for number, result in pool(tasks):
                yield left.pop(number), result
        except TerminatedWorkerError:
            # One of those that were handed out, and nobody says which: each gets a process of its own.
            for number in list(left)[:ahead]:
                job = left.pop(number)
                yield job, _alone(work, job)


def _numbered(work: Work[Job, Result], number: int, job: Job) -> tuple[int, Result]:
    return number, work(job)


def _alone(work: Work[Job, Result], job: Job) -> Result | None:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool:
            return None


def _dask(work: Work[Job, Result], jobs: Sequence[Job], workers: int, scheduler: str | None) -> Outcomes[Job, Result]:
    """A Dask cluster: the one at `scheduler`, or processes of this machine."""
    try:
        from dask.distributed import Client, KilledWorker, as_completed, wait
    except ImportError:
        raise UsageError("--engine dask needs the extra 'cluster': pip install 'sleep2vec[cluster]'.") from None
    try:
        client = Client(scheduler, timeout=30) if scheduler else _local_client(Client, workers)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`."
        ) from None
    with client:
        _wait_for_workers(client, scheduler)
        job_of = {client.submit(work, job, pure=False): job for job in jobs}
        suspects = []
        for future in as_completed(list(job_of)):
            job = job_of.pop(future)
            if future.status == "finished":
                yield job, future.result()
            else:
                suspects.append(job)
        # A dying worker takes along what was waiting on it: each gets another chance, with nobody beside it.
        for job in suspects:
            future = client.submit(work, job, pure=False)
            wait(future)
            if future.status == "error" and not isinstance(future.exception(), KilledWorker):
                raise UsageError(
                    f"the workers of the cluster cannot do it ({type(future.exception()).__name__}: "
                    f"{future.exception()}); install the same sleep2vec on each of them."
                )
            yield job, future.result() if future.status == "finished" else None


def _wait_for_workers(client: Any, scheduler: str | None) -> None:
    from dask.distributed import TimeoutError as NoWorkers

    try:
        client.wait_for_workers(1, timeout=_MOST_WAIT_S)
    except (NoWorkers, TimeoutError):
        raise UsageError(
            f"the Dask scheduler at {scheduler} has no worker after {_MOST_WAIT_S} s; start one with `dask worker`."
        ) from None


def _local_client(client: Callable[..., Any], workers: int) -> Any:
    return client(n_workers=workers, threads_per_worker=1, dashboard_address=None)


# A new engine is one new line here.
ENGINES: MappingProxyType[str, Callable[..., Iterator]] = MappingProxyType(  # type: ignore[type-arg]
    {"joblib": _joblib, "dask": _dask}
)
