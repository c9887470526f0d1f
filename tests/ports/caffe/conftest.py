"""One process of real Caffe for all tests of a worker; a test that makes Caffe give up costs a new one."""

import pytest

from netwright.ports.caffe.run import CaffeNet, CaffeProcess


class Judge:
    """Real Caffe, started when it is first asked."""

    def __init__(self):
        self.process = None

    def __call__(self, prototxt, caffemodel, inputs, taps=()):
        if self.process is None or not self.process.alive:
            self.process = CaffeProcess()
        return CaffeNet(prototxt, caffemodel, self.process).run(inputs, taps)


@pytest.fixture(scope="session")
def caffe():
    judge = Judge()
    yield judge
    if judge.process is not None:
        judge.process.close()
