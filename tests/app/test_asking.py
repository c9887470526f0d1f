"""Single questions: what `nw.examine` says of a network as it is, and one probe by its name."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netwright as nw
from conftest import mlp
from diagnosis import faulty
from diagnosis.networks import Convolutional, Recurrent, Residual, Transformer, one_logit
from netwright.catalogue import Catalogue, Needs

IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
SERIES = torch.rand(32, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
TABLE = torch.randn(32, 30, generator=torch.Generator().manual_seed(2))
CLASSES = torch.arange(32) % 10
NUMBERS = torch.randn(32, generator=torch.Generator().manual_seed(3))


def examined(network, batch=(IMAGES, CLASSES), loss="cross_entropy", **settings):
    torch.manual_seed(0)
    made = network()
    held = [p for p in made.parameters() if p.requires_grad]
    return nw.examine(made, batch, loss, torch.optim.Adam(held, lr=1e-3, **settings))


def causes(result):
    return [f.cause for f in result.findings]


FAULTS = {
    "loss-output-mismatch": faulty.SoftmaxAtTheEnd,
    "wrong-activation": faulty.RectifiedLogits,
    "untrained-parameters": faulty.Detached,
    "normalisation-misuse": faulty.SoftmaxOverSamples,
    "train-eval-gap": faulty.DropoutStaysOn,
    "unstable-arithmetic": faulty.RootOfZero,
    "batch-leak": faulty.MeanOverSamples,
    "ignores-input": faulty.OneRowOnly,
}


@pytest.mark.parametrize("cause", FAULTS)
def test_a_planted_fault_is_named_with_its_line(cause):
    result = examined(FAULTS[cause])
    file, line = faulty.line_of(FAULTS[cause])
    finding = next(f for f in (*result.findings, *result.considered) if f.cause == cause)
    assert file.endswith(finding.where.file)
    assert finding.where.line == line


@pytest.mark.parametrize("cause", FAULTS)
def test_the_planted_fault_comes_first(cause):
    assert causes(examined(FAULTS[cause]))[:1] == [cause]


@pytest.mark.parametrize(
    ("network", "batch", "loss"),
    [
        (Convolutional, (IMAGES, CLASSES), "cross_entropy"),
        (Residual, (IMAGES, CLASSES), F.cross_entropy),
        (Recurrent, (SERIES, CLASSES), "cross_entropy"),
        (Transformer, (SERIES, CLASSES), nn.CrossEntropyLoss()),
        (one_logit, (TABLE, (CLASSES % 2).float()), "bce_with_logits"),
        (lambda: nn.Sequential(mlp(30, 1), nn.Flatten(0)), (TABLE, NUMBERS), "mse"),
    ],
)  # fmt: skip
def test_nothing_is_found_in_a_sound_network(network, batch, loss):
    result = examined(network, batch, loss)
    assert (causes(result), result.outcome) == ([], "inconclusive")


def test_a_batch_of_arrays_will_do():
    result = nw.examine(
        faulty.SoftmaxAtTheEnd(), (IMAGES.numpy(), CLASSES.numpy().astype(np.int64)), "cross_entropy"
    )
    assert causes(result) == ["loss-output-mismatch"]


def test_a_dictionary_with_its_target_will_do():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(30, 10)

        def forward(self, features):
            return self.body(features).softmax(1)

    result = nw.examine(Named(), {"features": TABLE, "labels": CLASSES}, "cross_entropy")
    assert causes(result) == ["loss-output-mismatch"]


def test_gradients_of_the_loop_so_far_are_not_counted():
    network = faulty.Detached()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    assert causes(nw.examine(network, (IMAGES, CLASSES), "cross_entropy", optimizer)) == [
        "untrained-parameters"
    ]


def test_parameters_that_the_optimizer_does_not_hold_are_named():
    network = Residual()
    optimizer = torch.optim.Adam(network.head.parameters())
    result = nw.examine(network, (IMAGES, CLASSES), "cross_entropy", optimizer)
    assert causes(result) == ["untrained-parameters"]


def test_checks_that_need_more_are_skipped_with_the_reason():
    skipped = examined(Convolutional).skipped
    for check in Catalogue.collect().checks.values():
        if (Needs.RUN | Needs.RECIPE | Needs.PARTS | Needs.RANGE_TEST) & check.needs:
            assert skipped[check.id].startswith("needs ")


def test_a_check_can_be_muted():
    network = faulty.SoftmaxAtTheEnd()
    result = nw.examine(
        network, (IMAGES, CLASSES), "cross_entropy", muted={"loss-output-mismatch": "on purpose"}
    )
    assert (causes(result), result.skipped["loss-output-mismatch"]) == ([], "muted: on purpose")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("network", (IMAGES, CLASSES), "cross_entropy"), "a str is no network"),
        ((Convolutional(), (IMAGES, CLASSES), "cross_entropy", "adam"), "a str is no optimizer"),
        ((Convolutional(), (IMAGES, CLASSES), "crossentropy"), "is no loss"),
        ((Convolutional(), IMAGES, "cross_entropy"), "target"),
        ((Convolutional(), 3, "cross_entropy"), "target"),
    ],
    ids=["network", "optimizer", "loss", "a batch without targets", "no batch"],
)
def test_another_kind_of_argument_is_refused_in_one_sentence(arguments, says):
    with pytest.raises(nw.UserError, match=says) as refused:
        nw.examine(*arguments)
    assert "\n" not in str(refused.value)


def test_an_exception_that_no_check_explains_is_the_users():
    with pytest.raises(nw.UserCodeError, match=r"^[^:].*mat1 and mat2"):
        nw.examine(Residual(), (IMAGES[:, :, :4], CLASSES), "cross_entropy")


def test_labels_that_no_output_stands_for_are_explained():
    assert causes(examined(Convolutional, (IMAGES, CLASSES + 1))) == ["output-width"]


# --- one probe from the command line

FILE = """
import netwright as nw
from sklearn.datasets import load_digits
from torch import nn

x, y = load_digits(return_X_y=True)
recipe = nw.Recipe(
    nw.Data.arrays(x[:200].reshape(-1, 1, 8, 8) / 16, y[:200]),
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=64, epochs=2),
)
"""


@pytest.fixture
def cli(capfd, tmp_path):
    """`netwright diagnose FILE --probe NAME …` in this process: exit code, stdout and stderr."""
    path = tmp_path / "mine.py"
    path.write_text(FILE)

    def run(*arguments):
        from netwright.app.cli import app

        try:
            code = app(["diagnose", str(path), *arguments], standalone_mode=False) or 0
        except SystemExit as left:
            code = left.code
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_a_probe_is_answered_in_words(cli):
    code, out, _ = cli("--probe", "overfit-batch")
    assert code == 0
    assert "overfit-batch" in out
    assert "Learn one small batch by heart" in out
    assert "skill" in out


def test_a_probe_is_answered_with_one_document(cli):
    code, out, _ = cli("--probe", "evaluation-modes", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["probe"], document["recipe"]) == ("evaluation-modes", "mine")
    assert document["answer"]["repeated"] == 0.0


def test_a_probe_that_does_not_apply_says_so(cli):
    assert "does not apply to this recipe" in cli("--probe", "gradient-check")[1]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["words", "json"])
def test_an_unknown_probe_is_the_users_mistake(cli, form):
    code, out, err = cli("--probe", "overfit-batches", *form)
    assert code == 2
    assert "no probe 'overfit-batches'; there are " in out + err
