from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from charmnet.codecs import decode_rgb
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.methods import CharmNetMethod
from pipelines.demo.examples import write_examples
from pipelines.serving.requests import Job, Limits, Problem, job_of_form
from pipelines.serving.worker import PictureWorker
from tests.fixtures.pretrained import make_pretrained


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> CharmNetMethod:
    return make_pretrained(tmp_path_factory.mktemp("models"), "any")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    composite, mask = write_examples(tmp_path_factory.mktemp("files"))[0]
    files = [("composite", "in.png", composite.read_bytes()), ("mask", "m.png", mask.read_bytes())]
    return job_of_form(files, [], Limits())


@pytest.mark.parametrize("batch", [1, 3])
def test_threads_get_what_the_library_gives_in_a_batch_up_to_a_level(
    method: CharmNetMethod, job: Job, batch: int
) -> None:
    expected = harmonize_encoded(method, job.composite, job.mask).data
    worker = PictureWorker(method, batch, job.pixels * 4)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(worker.harmonize, [job] * 40))
    worker.close()
    assert max(answer.batch for answer in answers) <= batch
    if batch == 1:
        assert {answer.data for answer in answers} == {expected}
    difference = [decode_rgb(answer.data).astype(int) - decode_rgb(expected) for answer in answers]
    assert np.abs(difference).max() <= 1


def test_what_cannot_be_harmonized_is_a_problem(method: CharmNetMethod, job: Job) -> None:
    worker = PictureWorker(method, 1, job.pixels)
    broken = EncodedPicture(job.composite.data[:1000], "in.png")
    problem = worker.harmonize(Job(broken, job.mask, job.adjustment, job.out_name, job.pixels))
    assert isinstance(problem, Problem)
    assert (problem.status, problem.where) == (422, "in.png")
    worker.close()


def test_damaged_weights_are_the_server_s_fault(job: Job) -> None:
    damaged = CharmNetMethod(width=4, seed=0)
    for parameter in damaged.generator.parameters():
        parameter.data *= float("nan")
    worker = PictureWorker(damaged, 1, job.pixels)
    problem = worker.harmonize(job)
    assert isinstance(problem, Problem)
    assert (problem.status, problem.where) == (500, "the model")
    worker.close()
