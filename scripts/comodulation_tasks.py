"""The tasks of benchmark_comodulation.py: each adapts one frozen network to one task, and measures what comes of it.

Each is a function that returns the `trained` parameters, a `curve` (steps, and average precision on the calibration
split by then), and for the splits `calibration` and `test`: `accuracy`, `ap` (average precision, mean over classes),
`nll`, and `ece` (calibration error), all but `nll` in %. The test split chooses nothing.
"""

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import offline_data
import torch
import torch.nn.functional as F
from kept_runs import Row, folder_of
from prepare_offline_assets import hash_fraction
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from transformers import AutoImageProcessor, EfficientNetForImageClassification, set_seed
from transformers.modeling_outputs import ImageClassifierOutput

from hf_canon import adaptation
from hf_canon.adaptation import comodulate, selectivity
from hf_canon.adaptation.read_out import normalized

FOLDER = folder_of("comodulation", [Path(__file__), *sorted(Path(adaptation.__file__).parent.glob("*.py"))])
STEPS, BATCH, EVERY = 60, 16, 5
Data = tuple[Tensor, Tensor]
Ask = Callable[[Tensor], Tensor]

# Drawings: EfficientNet with a head that has learned five kinds of things from stamps, to be adapted to emoji.

KINDS = {
    "Animals & Nature": ("animals", "plants"),
    "Food & Drink": ("food",),
    "Travel & Places": ("vehicles", "town", "space", "naturalforces"),
    "Objects": ("household", "clothes", "medical", "military", "hobbies"),
    "Activities": ("sports", "seasonal"),
}
"""Groups of emoji, and the folders of stamps that show the same."""
SIDE = 128
BLOCKS = 16


def drawings(kind: str, shots: int, method: str, seed: int, lr: float, layer: str | None = None) -> Row:
    """Is it one of that kind? Told from so many labelled emoji, half of which are, as far as there are as many; where
    it is measured, the logits are transformed to how frequent the kind is on the calibration split.

    Args:
        kind: one of `KINDS`.
        shots: labelled emoji.
        method: "frozen", "head", "LoRA", "deterministic" or "comodulated".
        seed: draws the emoji and their order.
        lr: learning rate.
        layer: what is coupled: "blocks.<n>" or "top_activation"; by default the last block and the last map, whose
            1,600 couplings are as many parameters as LoRA of rank 1 has on the layer between.
    """
    first = int(layer.rpartition(".")[2]) if layer is not None and layer.startswith("blocks.") else BLOCKS - 1
    model = tail(first)
    data = {split: (x, y[:, list(KINDS).index(kind)]) for split, (x, y) in activities(first).items()}
    set_seed(seed)
    model.requires_grad_(False)
    if method == "head":
        model.classifier.requires_grad_(True)
    elif method == "LoRA":
        from peft import LoraConfig

        model.add_adapter(LoraConfig(r=1, lora_alpha=1, target_modules=["top_conv"]))
    elif method != "frozen":
        targets = [f"encoder.{layer}" if layer == "top_activation" else f"blocks.{first - first}"]
        targets = targets if layer is not None else ["encoder.blocks.0", "encoder.top_activation"]
        comodulate(model, targets, gain=method, inputs=data["train"][0][:1])
    column = list(KINDS).index(kind)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if method == "head":  # the others' rows get no gradient
        trained //= len(KINDS)
    drawn = balanced(data["train"], shots, seed)
    offset = 0.0 if method == "frozen" else log_odds(data["calibration"][1]) - log_odds(drawn[1])
    ask: Ask = lambda x: model(x).logits[:, column]  # noqa: E731
    return {"trained": trained, **adapt(model, ask, drawn, data, lr, method, offset)}


def log_odds(labels: Tensor) -> float:
    share = labels.mean().item()
    return math.log(share / (1 - share))


def diagnosed_drawings(layer: str) -> Row:
    """What the diagnostic says of a layer, from unlabelled emoji to train on."""
    first = int(layer.rpartition(".")[2]) if layer.startswith("blocks.") else BLOCKS - 1
    name = "encoder.top_activation" if layer == "top_activation" else "encoder.blocks.0"
    x = activities(first)["train"][0]
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:32]]  # which are sorted by kind
    (found,) = selectivity(tail(first), x, [name])
    return {"selectivity": found.value, "verdict": found.verdict, "units": found.units}


@cache
def checkpoint() -> Path:
    """EfficientNet-lite0 with five outputs, learned from stamps, whose calibration split has chosen how strongly the
    weights are held back."""
    folder = FOLDER / "checkpoint"
    if (folder / "config.json").is_file():
        return folder
    source = offline_data.checkpoint("efficientnet")
    model = EfficientNetForImageClassification.from_pretrained(
        source, num_labels=len(KINDS), ignore_mismatched_sizes=True, dropout_rate=0.0, drop_connect_rate=0.0
    ).eval()
    features: dict[str, Data] = {}
    for split in ("train", "test", "calibration"):
        rows = offline_data.stamps(split)
        tops = [taxonomy.split("/")[0] for taxonomy in rows["taxonomy"]]
        labels = [[float(top in folders) for folders in KINDS.values()] for top in tops]
        known = [i for i, row in enumerate(labels) if any(row)]
        pooled = batched(lambda x: model.efficientnet(x).pooler_output, pixels(rows.select(known)["image"]))
        features[split] = pooled.flatten(1), torch.tensor(labels)[known]
    held = [torch.cat(part) for part in zip(features["train"], features["test"], strict=True)]
    for index in range(len(KINDS)):

        def fitted(penalty: float, index: int = index) -> LogisticRegression:
            classifier = LogisticRegression(C=penalty, max_iter=2000)
            return classifier.fit(held[0].numpy(), held[1][:, index].numpy())

        def loss(penalty: float, index: int = index) -> float:
            x, y = features["calibration"]
            logits = torch.from_numpy(fitted(penalty, index).decision_function(x.numpy())).float()
            return F.binary_cross_entropy_with_logits(logits, y[:, index]).item()

        best = fitted(min((1e-4, 1e-3, 1e-2, 1e-1, 1.0), key=loss))
        with torch.no_grad():
            model.classifier.weight[index] = torch.from_numpy(best.coef_[0])
            model.classifier.bias[index] = float(best.intercept_[0])
    partial = folder.with_suffix(f".{os.getpid()}")
    model.save_pretrained(partial)
    partial.rename(folder)
    return folder


def pixels(images: Any) -> Tensor:
    processor = AutoImageProcessor.from_pretrained(offline_data.checkpoint("efficientnet"), backend="pil")
    small = [image.convert("RGB").resize((SIDE, SIDE), 3) for image in images]  # 3: bicubic
    return processor(small, return_tensors="pt", do_resize=False, do_center_crop=False)["pixel_values"]


@cache
def activities(first: int) -> dict[str, Data]:
    """What the blocks before the `first` make of the emoji, `(n, channels, height, width)`, and of which kinds they
    are; three splits by a hash of the name."""
    path = FOLDER / f"activity-{first}.pt"
    if not path.is_file():
        rows = offline_data.emoji()
        model = EfficientNetForImageClassification.from_pretrained(checkpoint()).eval()
        model.efficientnet.encoder.blocks = model.efficientnet.encoder.blocks[:first]
        for name in ("top_conv", "top_bn", "top_activation"):
            setattr(model.efficientnet.encoder, name, nn.Identity())
        activity = batched(lambda x: model.efficientnet(x).last_hidden_state, pixels(rows["image"]))
        labels = torch.tensor([[float(group == kind) for kind in KINDS] for group in rows["group"]])
        fractions = torch.tensor([hash_fraction(name) for name in rows["name"]])
        bounds = {"train": (0.0, 0.35), "calibration": (0.35, 0.55), "test": (0.55, 1.0)}
        inside = {split: (fractions >= low) & (fractions < high) for split, (low, high) in bounds.items()}
        partial = path.with_suffix(f".{os.getpid()}.partial")
        torch.save({split: (activity[chosen], labels[chosen]) for split, chosen in inside.items()}, partial)
        partial.replace(path)
    return torch.load(path)


def tail(first: int) -> EfficientNetForImageClassification:
    """The checkpoint from a block on, which takes the activity before it for its images: what is frozen in front
    of all that is adapted need be computed once only."""
    model = EfficientNetForImageClassification.from_pretrained(checkpoint()).eval()
    model.efficientnet.embeddings = nn.Identity()
    model.efficientnet.encoder.blocks = model.efficientnet.encoder.blocks[first:]
    return model


# Mosaics: four digits in one image, and networks whose last hidden layer looks at places, or at everything.


class Mosaic(nn.Module):
    """Which digits are in an image of four, by a convolutional encoder and one hidden layer.

    Args:
        read_out: "local", where each hidden unit sees one of the quadrants; or "dense", where each sees all of it.
    """

    def __init__(self, read_out: str):
        super().__init__()
        layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)  # to 16 maps of 14 x 14
        self.side = 7 if read_out == "local" else 14
        parts = (14 // self.side) ** 2
        inputs = 16 * self.side**2
        self.hidden = nn.Parameter(torch.randn(parts, inputs, HIDDEN // parts) * (2 / inputs) ** 0.5)
        self.head = nn.Linear(HIDDEN, 10)

    def forward(self, x: Tensor) -> ImageClassifierOutput:
        seen = F.unfold(self.encoder(x), self.side, stride=self.side).movedim(-1, 1)
        hidden = torch.einsum("bpi,piu->bpu", seen, self.hidden).relu().flatten(1)
        return ImageClassifierOutput(logits=self.head(hidden))


HIDDEN = 192


def mosaics(read_out: str, units: str, shots: int, method: str, seed: int, lr: float) -> Row:
    """Which digit is in one quadrant, that of the seed, told from so many labelled mosaics.

    LoRA of rank 1 on the head has 202 parameters; the couplings of the 14 x 14 places are 196, those of channels 16.
    "noise" learns comodulated couplings as we read the paper: from perturbed activity, with no gradient through gains.
    """
    model = trained_on_mosaics(read_out, seed)
    data = quadrants(seed)
    set_seed(seed)
    ask: Ask = lambda x: model(x).logits  # noqa: E731
    network: Any = model
    if method == "head":
        model.head.requires_grad_(True)
    elif method == "LoRA":
        from peft import LoraConfig, get_peft_model

        network = get_peft_model(model, LoraConfig(r=1, lora_alpha=1, target_modules=["head"]))
        ask = lambda x: network(x).logits  # noqa: E731
    elif method == "noise":
        noisy = NoisyLearning(model, data["train"][0][:1], units)
        network, ask = noisy, lambda x: noisy(x)
    elif method != "frozen":
        comodulate(model, ["encoder.3"], units, method, inputs=data["train"][0][:1])
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    drawn = tuple(part[:shots] for part in data["train"])
    return {"trained": trained, **adapt(network, ask, drawn, data, lr, method)}


class NoisyLearning(nn.Module):
    """A comodulated network whose couplings get their gradient from the noise alone."""

    def __init__(self, model: nn.Module, inputs: Tensor, units: str):
        super().__init__()
        self.model = model
        self.comodulation = comodulate(model, ["encoder.3"], units, inputs=inputs)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.model(x).logits
        one = self.comodulation
        running = one._output.running(0)
        with torch.no_grad():
            running.update(normalized(one.tags(x)))
        part = one._couplings[0]
        part.modulator, part.variance = one.noise * torch.randn(len(x)), one.noise**2
        try:
            return self.model.eval()(x).logits
        finally:
            part.modulator = None
            self.model.train()


def regions(read_out: str, method: str, seed: int) -> Row:
    """The same, where the quadrant is given and nothing is labelled: `method` is "frozen", "deterministic", "strong"
    (deterministic, with k = 3), "comodulated" (by the product), "sampled", or "masked", which removes the rest of the
    map. Comodulated gains are the same for every k."""
    model = trained_on_mosaics(read_out, seed)
    data = quadrants(seed)
    quadrant = torch.zeros(2, 2)
    quadrant[(seed % 4) // 2, seed % 2] = 1
    if method == "masked":
        inside = F.interpolate(quadrant[None, None], (14, 14))
        model.encoder.append(Masked(inside))
    elif method != "frozen":
        estimator: Any = "sampling" if method == "sampled" else "product"
        gain: Any = "deterministic" if method in ("deterministic", "strong") else "comodulated"
        example = data["train"][0][:1]
        one = comodulate(model, ["encoder.3"], "places", gain, estimator, inputs=example, task=None)
        one.add_task("quadrant", region=quadrant)
        if method == "strong":
            one._couplings[0].tasks[0].mul_(3)
        with nullcontext() if gain == "deterministic" else one.estimating(), torch.no_grad():
            for unlabelled in data["train"][0].split(50):
                model(unlabelled)
    found = {split: measured(lambda x: model(x).logits, data[split]) for split in ("calibration", "test")}
    return {"trained": 0, "curve": [], **found}


class Masked(nn.Module):
    def __init__(self, inside: Tensor):
        super().__init__()
        self.inside = inside

    def forward(self, h: Tensor) -> Tensor:
        return h * self.inside


def diagnosed_mosaics(read_out: str, units: str, seed: int) -> Row:
    """What the diagnostic says of the encoder's maps, from unlabelled mosaics to train on."""
    (found,) = selectivity(trained_on_mosaics(read_out, seed), quadrants(seed)["train"][0][:32], ["encoder.3"], units)  # type: ignore[arg-type]
    return {"selectivity": found.value, "verdict": found.verdict, "units": found.units}


def trained_on_mosaics(read_out: str, seed: int) -> Mosaic:
    """The frozen network, one for each seed: it has learned which digits there are, and not where."""
    path = FOLDER / f"mosaic-{read_out}-{seed}.pt"
    set_seed(1000 + seed)
    model = Mosaic(read_out)
    if not path.is_file():
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        generator = torch.Generator().manual_seed(1000 + seed)
        for _ in range(2500):
            x, labels = mosaic("train", 64, generator)
            loss = F.binary_cross_entropy_with_logits(model(x).logits, torch.zeros(64, 10).scatter(1, labels, 1.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        partial = path.with_suffix(f".{os.getpid()}.partial")
        torch.save(model.state_dict(), partial)
        partial.replace(path)
    model.load_state_dict(torch.load(path))
    return model.eval().requires_grad_(False)


@cache
def quadrants(seed: int) -> dict[str, Data]:
    """200 mosaics to train on, 500 and 2,000 others of other digits, with the digit in the quadrant of the seed."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"train": 200, "calibration": 500, "test": 2000}
    drawn = {split: mosaic(split, number, generator) for split, number in sizes.items()}
    return {split: (x, labels[:, seed % 4]) for split, (x, labels) in drawn.items()}


def mosaic(split: str, number: int, generator: torch.Generator) -> Data:
    """Images `(number, 1, 56, 56)` of four digits, and the digits `(number, 4)`, row by row."""
    images, labels = single_digits(split)
    chosen = torch.randint(len(labels), (number, 4), generator=generator)
    rows = images[chosen].unflatten(1, (2, 2))  # number, down, across, 28, 28
    return rows.permute(0, 1, 3, 2, 4).reshape(number, 1, 56, 56), labels[chosen]


@cache
def single_digits(split: Any) -> Data:
    rows = offline_data.digits(split)
    values = [torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8) for image in rows["image"]]
    return torch.stack(values).view(-1, 28, 28).float() / 255, torch.tensor(rows["label"])


# Decoding: a population of which few units know, and a modulator that reaches those.


def decoding(method: str, seed: int, trials: int = 30, lr: float = 0.0) -> Row:
    """Which of two stimuli 500 Poisson units have seen, 25 of which tell them apart, from `trials` labelled trials.

    A shared modulator reaches just the 25; each trial has 20 bins. `method`: "logistic" (L2, chosen by
    cross-validation, on the means of trials), "modulator-guided" (each unit by the sign of its difference times its
    gain, which is estimated from the bins and the modulator, that this decoder is told), "sign alone", or "oracle"
    (that knows which units tell).
    """
    generator = torch.Generator().manual_seed(seed)
    units, telling, bins = 500, 25, 20
    base = 1 + torch.rand(units, generator=generator)
    slope = torch.zeros(units)
    slope[:telling] = 0.06 * torch.sign(torch.randn(telling, generator=generator))
    reached = (slope != 0).float()

    def trial(number: int) -> tuple[Tensor, Tensor, Tensor]:
        stimulus = torch.randint(2, (number,), generator=generator)
        m = 0.5 * torch.randn(number, bins, 1, generator=generator)
        rate = base * torch.exp(slope * (2 * stimulus - 1.0)[:, None, None] + m * reached - 0.125 * reached)
        return torch.poisson(rate, generator=generator), m, stimulus

    counts, m, labels = trial(trials)
    tested, _, answers = trial(2000)
    x, x_test = counts.mean(1), tested.mean(1)
    if method == "logistic":
        classifier = LogisticRegressionCV(Cs=10, cv=3, max_iter=2000).fit(x.numpy(), labels.numpy())
        score = torch.from_numpy(classifier.decision_function(x_test.numpy()))
    else:
        difference = x[labels == 1].mean(0) - x[labels == 0].mean(0)
        covariance = ((counts - counts.mean((0, 1))) * (m - m.mean())).mean((0, 1))
        gain = {"sign alone": torch.ones(units), "oracle": reached}.get(method, normalized(covariance))
        weight = difference.sign() * gain
        middle = (x[labels == 1].mean(0) + x[labels == 0].mean(0)) / 2
        score = (x_test - middle) @ weight
    accuracy = 100 * ((score > 0).long() == answers).float().mean().item()
    return {"trained": 0, "curve": [], "test": {"accuracy": accuracy}}


# What they share: a short training, and its measures.


def adapt(
    network: Any, ask: Ask, drawn: Any, data: dict[str, Data], lr: float, method: str, offset: float = 0.0
) -> Row:
    """Train what is to be trained, and measure what comes of it, with an offset of the logits."""
    asked: Ask = lambda x: ask(x) + offset  # noqa: E731
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    curve = []
    if parameters:
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        x, y = drawn
        for step in range(STEPS):
            if step % EVERY == 0:
                curve.append([step, measured(asked, data["calibration"], network)["ap"]])
            network.train(method in ("comodulated", "noise"))  # no other has anything that differs in training
            chosen = torch.randperm(len(y))[:BATCH]
            loss = loss_of(ask(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        curve.append([STEPS, measured(asked, data["calibration"], network)["ap"]])
    found = {split: measured(asked, data[split], network) for split in ("calibration", "test")}
    return {"curve": curve, **found}


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.ndim == 1:
        return F.binary_cross_entropy_with_logits(logits, labels)
    return F.cross_entropy(logits, labels)


@torch.no_grad()
def measured(ask: Ask, data: Data, network: Any = None) -> dict[str, float]:
    """Accuracy, average precision (mean over the classes), negative log-likelihood and calibration error."""
    if network is not None:
        network.eval()
    logits, labels = batched(ask, data[0]), data[1]
    nll = loss_of(logits, labels).item()
    if logits.ndim == 1:
        precision = average_precision_score(labels.numpy(), logits.numpy())
        probability = logits.sigmoid()
        right, confidence = (probability > 0.5) == labels.bool(), torch.maximum(probability, 1 - probability)
    else:
        each = [average_precision_score((labels == c).numpy(), logits[:, c].numpy()) for c in labels.unique()]
        precision = sum(each) / len(each)
        confidence, choice = logits.softmax(-1).max(-1)
        right = choice == labels
    return {
        "accuracy": 100 * right.float().mean().item(),
        "ap": 100 * float(precision),
        "nll": nll,
        "ece": 100 * calibration_error(confidence, right),
    }


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    """The expected calibration error over equal bins: how far confidence is from accuracy, on average."""
    of = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(confidence[of == b].mean() - right[of == b].float().mean()).abs() * (of == b).sum() for b in of.unique()]
    return float(sum(gaps, torch.zeros(())) / len(confidence))


def balanced(data: Data, shots: int, seed: int) -> Data:
    """So many, half of them positive as far as there are as many."""
    order = torch.randperm(len(data[1]), generator=torch.Generator().manual_seed(seed))
    positive, negative = order[data[1][order] == 1], order[data[1][order] == 0]
    few = min(math.ceil(shots / 2), len(positive))
    chosen = torch.cat([positive[:few], negative[: shots - few]])
    return data[0][chosen], data[1][chosen]


@torch.no_grad()
def batched(ask: Ask, x: Tensor) -> Tensor:
    return torch.cat([ask(part) for part in x.split(100)])
