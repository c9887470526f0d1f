"""Watching the real Trainer of Lightning."""

import pytest
import torch
from torch import nn

import netwright as nw

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*GPU available.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*tensorboardX.*"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
]


class Classifier(lightning.LightningModule):
    def __init__(self, forget=False):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        self.forget = forget

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, _):
        if self.forget:
            self.eval()
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(module, tmp_path, callbacks, **settings):
    generator = torch.Generator().manual_seed(0)
    data = torch.utils.data.TensorDataset(
        torch.randn(80, 8, generator=generator), torch.randint(3, (80,), generator=generator)
    )
    trainer = lightning.Trainer(
        max_epochs=2, callbacks=callbacks, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, **settings,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=8))
    return module


@pytest.mark.parametrize("accumulated", [1, 4])
def test_a_sound_training_is_left_alone_and_trains_to_the_same_bits(tmp_path, accumulated):
    from netwright.callbacks.lightning import Watch

    watch = Watch()
    watched = fit(Classifier(), tmp_path, [watch], accumulate_grad_batches=accumulated)
    plain = fit(Classifier(), tmp_path, [], accumulate_grad_batches=accumulated)
    assert watch.trace.steps == 20
    assert nw.diagnose(watch.trace).findings == ()
    assert 0.5 < watch.trace.losses.mean() < 2
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), plain.parameters(), strict=True))


def test_a_loop_bug_inside_a_module_is_found_and_reported(tmp_path, caplog):
    from netwright.callbacks.lightning import Watch

    watch = Watch(report=True)
    with caplog.at_level("INFO", logger="lightning.pytorch.utilities.rank_zero"):
        module = fit(Classifier(forget=True), tmp_path, [watch])
    assert [f.evidence["bug"] for f in nw.diagnose(watch.trace).findings] == ["evaluation mode"]
    assert module.layers[0]._forward_hooks == {}
