"""Watching the real Trainer of Transformers."""

import pytest
import torch

import netwright as nw

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*"),
]


def fit(tmp_path, callbacks, frozen=False, **settings):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, num_labels=3, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(0)
    rows = [
        {"input_ids": torch.randint(32, (8,), generator=generator), "labels": torch.tensor(k % 3)}
        for k in range(80)
    ]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=20, per_device_train_batch_size=4, report_to=[],
        save_strategy="no", disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
        logging_steps=10, seed=0, **{"learning_rate": 1e-3, **settings},
    )  # fmt: skip
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)
    trainer.train()
    return model


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_sound_training_is_left_alone_and_trains_to_the_same_bits(tmp_path, accumulated):
    from netwright.callbacks.transformers import Watch

    watch = Watch()
    watched = fit(tmp_path, [watch], gradient_accumulation_steps=accumulated)
    plain = fit(tmp_path, [], gradient_accumulation_steps=accumulated)
    assert watch.trace.steps == 20 * accumulated
    assert watch.trace.calls == [20]
    assert nw.diagnose(watch.trace).findings == ()
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), plain.parameters(), strict=True))
    assert not any(module._forward_hooks for module in watched.modules())


def test_a_rate_of_zero_is_found(tmp_path):
    from netwright.callbacks.transformers import Watch

    watch = Watch(report=True)
    model = fit(tmp_path, [watch], learning_rate=0.0)
    assert [f.cause for f in nw.diagnose(watch.trace).findings] == ["schedule-mismatch"]
    del model
