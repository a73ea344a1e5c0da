"""The rewrites keep the mathematics, and the INT8 graph keeps the answers."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torchvision.models import DenseNet  # noqa: E402

from device.session import open_session  # noqa: E402
from export.calibrate import BINS, LEVELS, METHODS, choose_ranges, measure_histograms, measure_ranges  # noqa: E402
from export.columns import group_columns, ungroup_columns  # noqa: E402
from export.correct import bias_corrections, shifts  # noqa: E402
from export.equalise import SMALLEST_SPAN, equalise, narrow  # noqa: E402
from export.errors import ExportError  # noqa: E402
from export.floating import compare  # noqa: E402
from export.graph import int8_model, round_weights, whole_bounds  # noqa: E402
from export.limits import OPSETS  # noqa: E402
from export.network import Arithmetic, Clip, Convolution, Network, from_checkpoint, run  # noqa: E402
from export.quantize import agreement, choose_quantization, divergence, nearest, probabilities_of  # noqa: E402
from export.sensitivity import Rounding, names, sensitivities  # noqa: E402
from export.simulate import EightBits  # noqa: E402
from tests.smooth import smooth_views  # noqa: E402

MEAN, DEVIATION = 114.0, (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return smooth_views(12)


@pytest.fixture(scope="module")
def densenet(photos: torch.Tensor) -> DenseNet:
    """A small DenseNet whose BatchNorms have positive, negative and zero scales, as training may leave them.

    They know the photos, and its answers differ from one to the next, or a wrong graph might be told from no other.
    """
    torch.manual_seed(1)
    model = DenseNet(growth_rate=8, block_config=(2, 3, 2, 2), num_init_features=16, num_classes=5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.6, 0.5)
            nn.init.normal_(module.bias, 0.0, 0.4)
            module.weight.data[::7] = 0.0
            module.weight.data[1::5] *= -1
            module.momentum = None  # it takes the mean of all that it is shown
    logits_of(model, photos)
    model.eval().classifier.weight.data *= 10
    model.classifier.bias.data -= logits_of(model, photos).mean(dim=0)
    assert logits_of(model, photos).softmax(dim=1).std(dim=0).min() > 0.1
    return model


@pytest.fixture(scope="module")
def network(densenet: DenseNet) -> Network:
    return from_checkpoint(densenet.state_dict(), MEAN, DEVIATION)


@pytest.fixture(scope="module")
def equal(network: Network, photos: torch.Tensor) -> Network:
    return equalise(network, measure_ranges(network, [photos]))


@torch.no_grad()
def logits_of(model: DenseNet, images: torch.Tensor) -> torch.Tensor:
    normalised = (images.float() - MEAN) / (255 * torch.tensor(DEVIATION).view(1, 3, 1, 1))
    return model(normalised)


def with_stage(network: Network, number: int, **changes: object) -> Network:
    """The network with one of its stages changed."""
    stages = list(network.stages)
    stages[number] = replace(stages[number], **changes)
    return replace(network, stages=tuple(stages))


def test_clips_replace_the_norms_before_convolutions_without_changing_an_answer(
    densenet: DenseNet, network: Network, photos: torch.Tensor
) -> None:
    assert torch.allclose(run(network, photos), logits_of(densenet, photos), atol=1e-4)


def test_negative_scales_clip_from_above_and_zero_scales_not_at_all(densenet: DenseNet, network: Network) -> None:
    scale = densenet.features.denseblock1.denselayer1.norm1.weight.detach().numpy()
    clip = network.stages[0].layers[0].clip
    assert np.array_equal(np.isfinite(clip.low), scale > 0)
    assert np.array_equal(np.isfinite(clip.high), scale < 0)


def test_every_channel_spans_zero_to_one_after_equalisation_and_no_answer_changes(
    densenet: DenseNet, equal: Network, photos: torch.Tensor
) -> None:
    assert torch.allclose(run(equal, photos), logits_of(densenet, photos), atol=1e-4)
    for name, span in measure_ranges(equal, [photos]).items():
        assert span.low.min() >= -1e-4, name
        assert span.high.max() <= 1 + 1e-4, name


def test_the_int8_graph_gives_the_float_probabilities_within_a_few_hundredths(
    densenet: DenseNet, network: Network, photos: torch.Tensor, tmp_path: Path
) -> None:
    equal = equalise(network, narrow(network, measure_ranges(network, [photos])))
    model = int8_model(equal, temperature=2.0, size_px=64, corrections=bias_corrections(equal, photos))
    session = open_session(model.SerializeToString())
    wanted = logits_of(densenet, photos)
    for image, logits in zip(photos, wanted, strict=True):
        probabilities, energy = session.run(None, {"image": image.permute(1, 2, 0).numpy()[None]})
        assert probabilities[0] == pytest.approx(torch.softmax(logits / 2, 0).numpy(), abs=0.03)
        assert energy[0] == pytest.approx(float(torch.logsumexp(logits, 0)), abs=0.15)


@pytest.mark.parametrize("opset", OPSETS)
def test_the_int8_graph_says_the_same_in_each_opset(equal: Network, photos: torch.Tensor, opset: int) -> None:
    model = int8_model(equal, 1.0, 64, opset=opset)
    assert [one.version for one in model.opset_import if one.domain == ""] == [opset]
    told = open_session(model.SerializeToString()).run(None, {"image": photos[:1].permute(0, 2, 3, 1).numpy()})[0]
    assert np.array_equal(told, probabilities_of(equal, {}, photos[:1]))


def test_the_int8_graph_never_leaves_eight_bits_before_its_head(equal: Network) -> None:
    model = int8_model(equal, 1.0, 64)
    kinds = [node.op_type for node in model.graph.node]
    head = kinds.index("DequantizeLinear")
    assert set(kinds[:head]) == {"QLinearConv", "NhwcMaxPool", "Max", "Min", "Concat", "Reshape"}
    assert "Transpose" not in kinds


@pytest.mark.parametrize("columns", [1, 2, 4, 8])
@pytest.mark.parametrize(("side", "stride"), [(7, 2), (3, 1), (1, 1)])
def test_columns_become_channels_without_changing_an_output(columns: int, side: int, stride: int) -> None:
    chance = np.random.default_rng(5)
    one = Convolution(chance.normal(size=(6, 3, side, side)), chance.normal(size=6), stride)
    image = torch.tensor(chance.normal(size=(1, 3, 16, 32)))
    wanted = nn.functional.conv2d(image, torch.tensor(one.weight), torch.tensor(one.bias), stride, one.padding)
    grouped = group_columns(one, columns)
    top, left, bottom, right = grouped.pads
    seen = nn.functional.pad(channels_last(image, 32 // columns), (left, right, top, bottom))
    got = nn.functional.conv2d(seen, torch.tensor(grouped.weight), torch.tensor(grouped.bias), grouped.strides)
    assert torch.allclose(channels_last(got, wanted.shape[-1]), wanted, atol=1e-4)
    assert np.array_equal(ungroup_columns(grouped.weight, channels=3, stride=stride), one.weight)


def channels_last(image: torch.Tensor, width: int) -> torch.Tensor:
    """(1, C, H, W) whose bytes, channels last, are seen as `width` columns."""
    pixels = image.permute(0, 2, 3, 1)
    return pixels.reshape(1, pixels.shape[1], width, -1).permute(0, 3, 1, 2)


def test_columns_that_become_channels_change_no_bit_of_the_int8_graph(
    equal: Network, photos: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrections = {"stem": np.linspace(-0.1, 0.1, len(equal.stem.bias))}
    told = []
    for columns in (1, 4):
        monkeypatch.setattr("export.graph.COLUMNS", columns)
        told.append(probabilities_of(equal, corrections, photos))
    assert np.array_equal(*told)


def test_weights_round_to_whole_steps_of_each_output_channel() -> None:
    weight = np.array([[0.5, -1.27], [0.0, 0.0], [2.54, 0.02]]).reshape(3, 2, 1, 1)
    whole, scale = round_weights(weight)
    assert whole.reshape(3, 2).tolist() == [[50, -127], [0, 0], [127, 1]]
    assert scale == pytest.approx([0.01, 1 / 127, 0.02])


def test_a_channel_that_hardly_ever_changes_keeps_its_value_in_eight_bits(equal: Network, photos: torch.Tensor) -> None:
    transition = equal.stages[1].transition
    assert transition is not None
    values = np.resize([0.2, 1e9, 0.7, -1e9], len(transition.squeeze.bias))
    constant = replace(transition.squeeze, weight=1e-12 * transition.squeeze.weight, bias=values)
    nearly = with_stage(equal, 1, transition=replace(transition, squeeze=constant))
    wanted = with_saturation(nearly, photos).softmax(dim=1).numpy()
    assert np.abs(probabilities_of(nearly, {}, photos) - wanted).max() < 0.01


def test_bounds_outside_the_range_do_nothing() -> None:
    low, high = whole_bounds(Clip(np.array([-0.5, 0.2, -np.inf]), np.array([np.inf, np.inf, 0.4])))
    assert (low.tolist(), high.tolist()) == ([0, 51, 0], [255, 255, 102])


def test_a_checkpoint_with_another_head_or_a_broken_grey_is_refused(densenet: DenseNet) -> None:
    state = {key: value for key, value in densenet.state_dict().items() if not key.startswith("classifier")}
    with pytest.raises(ExportError, match="linear head"):
        from_checkpoint(state, MEAN, DEVIATION)
    with pytest.raises(ExportError, match="whole number"):
        from_checkpoint(densenet.state_dict(), 113.5, DEVIATION)


def test_ranges_leave_out_what_no_reader_tells_apart_and_no_answer_changes(
    densenet: DenseNet, network: Network, photos: torch.Tensor
) -> None:
    seen = measure_ranges(network, [photos])
    narrowed = narrow(network, seen)
    unread = 5  # with the stem's 16 channels, one that every norm has a scale of zero for
    assert narrowed["0.0.grow"].span[unread] == SMALLEST_SPAN < seen["0.0.grow"].span[unread]
    assert sum(r.span.sum() for r in narrowed.values()) < 0.95 * sum(r.span.sum() for r in seen.values())
    for name, one in narrowed.items():
        assert (one.low >= seen[name].low).all(), name
        assert (one.high <= seen[name].high).all(), name
    saturated = with_saturation(equalise(network, narrowed), photos)
    assert torch.allclose(saturated, logits_of(densenet, photos), atol=1e-4)


def with_saturation(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Logits where every intermediate is held in 0…1, but not rounded."""

    class Saturating(Arithmetic):
        def store(self, name: str, value: torch.Tensor) -> torch.Tensor:
            return value.clamp(0, 1)

    return run(network, images, Saturating())


def test_the_simulation_in_float_is_the_int8_graph(densenet: DenseNet, network: Network, photos: torch.Tensor) -> None:
    equal = equalise(network, narrow(network, measure_ranges(network, [photos])))
    simulated = torch.softmax(run(equal, photos, EightBits()), 1).numpy()
    rounded = probabilities_of(equal, {}, photos)
    exact = torch.softmax(logits_of(densenet, photos), 1).numpy()
    assert np.abs(simulated - rounded).max() < 0.25 * np.abs(rounded - exact).max()


def test_what_lies_beyond_eight_bits_saturates_in_the_simulation_too() -> None:
    stored = EightBits().store("stem", torch.tensor([-0.5, 0.3 / 255, 0.6 / 255, 0.6, 1.5]))
    assert torch.allclose(stored, torch.tensor([0, 0, 1, 153, 255]) / 255)


def test_only_the_intermediates_asked_for_are_rounded(equal: Network, photos: torch.Tensor) -> None:
    exact = run(equal, photos)
    assert torch.equal(run(equal, photos, Rounding()), exact)
    assert not torch.equal(run(equal, photos, Rounding(output_of="1.0.grow")), exact)


def test_percentiles_and_entropy_give_up_rare_values_and_min_max_none() -> None:
    chance = np.random.default_rng(0)
    common = np.bincount((BINS * 0.5 * chance.random(100_000)).astype(int), minlength=BINS)
    lonely = common.copy()
    lonely[-1] += 1
    histograms = {"x": np.stack([common, lonely])}
    assert choose_ranges(histograms, "min-max")["x"].high.tolist() == [1, 1]
    for method in ("percentile 99.99", "percentile 99.9", "entropy"):
        high = choose_ranges(histograms, method)["x"].high
        assert high == pytest.approx([0.5, 0.5], abs=0.07), method
    seldom = common.copy()
    seldom[-1] += 50
    wholly, nearly = (
        choose_ranges({"x": seldom[None]}, method)["x"].high for method in ("percentile 99.99", "percentile 99.9")
    )
    assert wholly == 1 and nearly < 0.51
    mirrored = choose_ranges({"x": histograms["x"][:, ::-1]}, "percentile 99.9")["x"]
    assert (mirrored.low > 0.45).all()


def test_entropy_ends_where_the_divergence_by_its_definition_is_least() -> None:
    chance = np.random.default_rng(1)
    values = np.clip(chance.gamma(2.0, (0.03, 0.05, 0.1, 0.2), size=(3000, 4)), 0, 0.9999)
    counts = np.stack([np.bincount((BINS * some).astype(int), minlength=BINS) for some in values.T])

    def divergence(row: np.ndarray, end: int) -> float:
        kept = row[:end].astype(float)
        rounded = np.concatenate(
            [part.sum() * (part > 0) / max(1, (part > 0).sum()) for part in np.split(kept, LEVELS)]
        )
        kept[-1] += row[end:].sum()
        met = kept > 0
        p, q = kept[met] / kept.sum(), np.maximum(rounded[met] / rounded.sum(), 1e-12)
        return round(float((p * np.log(p / q)).sum()), 12)

    high = choose_ranges({"x": counts}, "entropy")["x"].high
    ends = np.arange(8, 17) * LEVELS
    assert high.tolist() == [ends[np.argmin([divergence(row, end) for end in ends])] / BINS for row in counts]
    assert len(set(high)) > 1


def test_corrected_biases_bring_back_the_means_that_rounding_shifted(equal: Network, photos: torch.Tensor) -> None:
    first, *others = equal.stages[1].layers
    biased = replace(first, grow=replace(first.grow, bias=first.grow.bias + 0.05))
    wanted = bias_corrections(equal, photos)["1.0.grow"]
    # A bias that is off by 0.05 in the rounded network alone is found again to a tenth.
    got = shifts(equal, with_stage(equal, 1, layers=(biased, *others)), photos)["1.0.grow"]
    assert got == pytest.approx(wanted - 0.05, abs=0.005)


def test_what_is_measured_on_photos_is_of_all_batches(network: Network, photos: torch.Tensor) -> None:
    ranges = measure_ranges(network, [photos])
    for name, one in measure_ranges(network, photos.split(5)).items():
        assert one.low == pytest.approx(ranges[name].low, abs=1e-5), name
        assert one.high == pytest.approx(ranges[name].high, abs=1e-5), name
    equal = equalise(network, ranges)
    for name, counts in measure_histograms(equal, photos.split(5)).items():
        assert counts.sum() == 12 / 5 * measure_histograms(equal, [photos[:5]])[name].sum(), name
    whole, parts = (bias_corrections(equal, photos, batch) for batch in (12, 5))
    for name, shift in parts.items():
        assert shift == pytest.approx(whole[name], abs=1e-4), name


@pytest.mark.parametrize("wrong", [0.02, -0.02, float("nan")])
def test_a_step_that_changes_what_the_network_says_is_refused(wrong: float) -> None:
    compare("step", "a logit", torch.zeros(2), torch.tensor([0.0, 0.005]))
    with pytest.raises(ExportError, match="The step differs from the trained one by"):
        compare("step", "a logit", torch.zeros(2), torch.tensor([0.0, wrong]))


def test_the_candidate_nearest_to_float_is_taken(
    network: Network, photos: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    ranges = narrow(network, measure_ranges(network, [photos]))
    with caplog.at_level(logging.INFO, logger="export.quantize"):
        chosen = choose_quantization(network, ranges, photos, photos.flip(3))
    tried = {str(name): float(divergence) for name, divergence, _ in (record.args for record in caplog.records)}
    assert tried.keys() == {f"{method}{more}" for method in METHODS for more in ("", ", biases corrected")}
    assert len(set(tried.values())) >= 6, "but for the rarest values of a few photos each is another way"
    assert chosen.divergence == min(tried.values()) == tried[chosen.name]
    wanted = run(network, photos.flip(3)).softmax(dim=1).numpy()
    told = probabilities_of(chosen.network, chosen.corrections, photos.flip(3))
    assert chosen.divergence == pytest.approx(divergence(wanted, told))
    assert chosen.divergence < 0.02
    assert bool(chosen.corrections) == chosen.name.endswith("corrected")
    worse = replace(chosen, name="worse", divergence=chosen.divergence + 1)
    assert nearest([worse, chosen]) is chosen


def test_nearness_to_float_is_the_divergence_of_what_is_told_from_what_is_wanted() -> None:
    wanted, told = np.array([[0.6, 0.4], [0.2, 0.8]], np.float32), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert divergence(wanted, told) == pytest.approx((0.6 * np.log(0.6 / 0.9) + 0.4 * np.log(0.4 / 0.1)) / 2)
    assert [agreement(wanted[:, ::-1], told), agreement(wanted, told)] == [0, 1]


def test_the_layer_with_the_coarsest_weights_is_the_most_sensitive(equal: Network, photos: torch.Tensor) -> None:
    first, *others = equal.stages[2].layers
    weight = first.grow.weight.copy()
    weight[:, 0, 0, 0] += 50  # one that nothing multiplies up stretches the steps of all others in its row
    coarse = with_stage(equal, 2, layers=(replace(first, grow=replace(first.grow, weight=weight)), *others))
    rows = {name: (by_weights, by_output) for name, by_weights, by_output in sensitivities(equal, photos)}
    coarsened = {row[0]: row[1] for row in sensitivities(coarse, photos)}
    assert list(rows) == names(equal)
    assert len({by_output for _, by_output in rows.values()}) > 10, "of each layer alone"
    assert all(by_output > 0 for name, (_, by_output) in rows.items() if not name.endswith("squeeze"))
    assert coarsened["2.0.grow"] > 5 * rows["2.0.grow"][0]
