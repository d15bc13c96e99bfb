import pytest
import torch
from architectures import audio
from transformers import pipeline

from hf_canon import CanonicalizationTrainer, CanonicalizedModel


@pytest.fixture
def train(photos, checkpoint, tmp_path):
    """The words of a short training run into `tmp_path / "out"`."""
    return [
        "train", checkpoint, "--data", photos, "--group", "c4", "--output", tmp_path / "out",
        "--epochs", "2", "--batch-size", "4", "--learning-rate", "1e-3", "--seed", "1",
    ]  # fmt: skip


def test_training_leaves_an_adapter_that_loads_from_anywhere(run, train, checkpoint, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    train[1] = checkpoint.name  # a relative path
    code, out, _ = run(*train)
    assert code == 0
    assert "of 1 held-back images" in out and "hf-canon evaluate" in out
    monkeypatch.chdir(tmp_path)
    model = CanonicalizedModel.from_pretrained(tmp_path / "out")
    assert (model.group.name, model.canonicalizer.name) == ("c4", "orbit")
    answers = pipeline("image-classification", str(tmp_path / "out"))(str(photos / "cat" / "0.png"))
    assert {answer["label"] for answer in answers} == {"bird", "cat", "dog"}


def test_the_seed_decides_everything(run, train, tmp_path):
    weights = []
    for seed in ("1", "1", "2"):
        train[-1] = seed
        assert run(*train, "--overwrite").code == 0
        weights.append(CanonicalizedModel.from_pretrained(tmp_path / "out").canonicalizer.state_dict())
    first, again, other = (torch.cat([value.flatten() for value in state.values()]) for state in weights)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.slow
def test_a_run_resumes_where_it_stopped(run, refuses, train, monkeypatch):
    assert run(*train).code == 0
    assert "is not empty: add --resume to go on" in refuses(*train)
    longer = ["3" if word == "2" else word for word in train]
    steps = []
    whole = CanonicalizationTrainer.train

    def watched(trainer, resume_from_checkpoint):
        steps.append(int(resume_from_checkpoint.rpartition("-")[2]))
        whole(trainer, resume_from_checkpoint=resume_from_checkpoint)
        steps.append(trainer.state.global_step)

    monkeypatch.setattr(CanonicalizationTrainer, "train", watched)
    assert run(*longer, "--resume").code == 0
    assert steps[0] in (3, 6) and steps[1] == 9  # from the best of two epochs to the third, of three steps each
    other = ["d4" if word == "c4" else word for word in longer]
    assert "had --group c4; resume it with the same" in refuses(*other, "--resume")


def test_images_in_unknown_poses(run, refuses, train, tmp_path):
    code, out, _ = run(*train, "--prior", "predictor", "--realign-rounds", "2")
    assert code == 0
    assert "The pose that the checkpoint likes best is found for" in out
    chosen = CanonicalizedModel.from_pretrained(tmp_path / "out").config.training["arguments"]
    assert (chosen["prior"], chosen["realign_rounds"]) == ("predictor", 2)
    again = [*change(train, "--group", "so2"), "--canonicalizer", "shift", "--overwrite", "--prior", "predictor"]
    assert "so2 has infinitely many" in refuses(*again)


def test_images_in_unknown_poses_beside_a_reference(run, refuses, train, photos, tmp_path):
    code, out, _ = run(*train, "--reference", photos)
    assert code == 0
    assert "of 1 held-back images" in out
    assert CanonicalizedModel.from_pretrained(tmp_path / "out").config.training["arguments"]["prior"] == "reference"
    again = [*train, "--overwrite", "--reference", photos]
    assert "not allowed with" in refuses(*again, "--prior", "predictor")
    assert "goes by reference data" in refuses(*again, "--realign-rounds", "2")


def test_nothing_to_resume_is_refused(refuses, train):
    assert "There is no checkpoint in" in refuses(*train, "--resume")


def test_overwrite_forgets_old_checkpoints(run, train, tmp_path):
    (tmp_path / "out" / "checkpoint-999").mkdir(parents=True)
    (tmp_path / "out" / "mine.txt").write_text("kept")
    assert run(*train, "--overwrite").code == 0
    assert not (tmp_path / "out" / "checkpoint-999").exists()
    assert (tmp_path / "out" / "mine.txt").exists()


def change(words, flag, value):
    words = list(words)
    words[words.index(flag) + 1] = value
    return words


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--group", "x9", "There is no group 'x9'. Known groups: c<n>"),
        ("--data", "./nowhere", "There is no folder or file './nowhere'."),
        ("--data", "nobody/nothing", "There is no folder or file 'nobody/nothing', and the Hub gave no such data set"),
    ],
)
def test_what_does_not_exist_is_refused(refuses, train, flag, value, sentence):
    assert sentence in refuses(*change(train, flag, value))


def test_an_unknown_canonicalizer_is_refused(refuses, train):
    sentence = refuses(*train, "--canonicalizer", "magic")
    assert "There is no canonicalizer 'magic'. Known ones: orbit" in sentence


def test_a_canonicalizer_with_nothing_to_train_is_refused(refuses, train):
    assert "has nothing to train" in refuses(*train, "--canonicalizer", "predictor")


def test_a_missing_checkpoint_is_refused(refuses, train):
    train[1] = "./nowhere"
    assert "There is no folder './nowhere'." in refuses(*train)


def test_a_text_model_is_refused(refuses, train, text_model):
    train[1] = text_model
    sentence = refuses(*train)
    assert "BertForSequenceClassification, which reads text" in sentence and "images" in sentence


def test_an_oblong_input_is_refused_with_the_group_that_fits(refuses, train, oblong_checkpoint):
    train[1] = oblong_checkpoint
    sentence = refuses(*train)
    assert "this input is 32 x 64" in sentence and "'c2'" in sentence


def test_an_output_that_cannot_be_a_folder_is_refused(refuses, train, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refuses(*change(train, "--output", tmp_path / "file" / "out"))


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # datasets leaves a file open that it cannot decode
def test_a_broken_image_is_named(refuses, train, photos):
    (photos / "dog" / "2.png").write_bytes((photos / "dog" / "2.png").read_bytes()[:300])
    assert f"The image '{photos / 'dog' / '2.png'}' of the data set cannot be read" in refuses(*train)


def test_an_interruption_ends_with_130(run, train, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CanonicalizationTrainer, "train", interrupted)
    code, _, err = run(*train)
    assert code == 130 and err.endswith("Interrupted.\n")


def test_a_defect_keeps_its_traceback(run, train, monkeypatch):
    def defective(*args, **kwargs):
        return torch.zeros(2).reshape(3)

    monkeypatch.setattr(CanonicalizationTrainer, "train", defective)
    with pytest.raises(RuntimeError, match="shape"):
        run(*train)


def test_a_checkpoint_that_listens_is_refused(refuses, photos, tmp_path):
    audio.build("Wav2Vec2ForSequenceClassification").save_pretrained(tmp_path / "base")
    sentence = refuses(
        "train", tmp_path / "base", "--data", photos, "--group", "reverse", "--output", tmp_path / "out"
    )
    assert "reads audio, and this command trains with images" in sentence
