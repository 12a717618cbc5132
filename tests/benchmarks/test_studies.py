"""The judges of the studies must be fair themselves: readers, intervals, folds, and what is counted."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import made_night, store_of
from scipy.stats import ttest_1samp
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from frozen_features import Pretrained, frozen_nights, kept_tokens, retrieval, window_starts
from linear_probes import Standard, auroc, balanced_accuracy, logistic, stage_counts, stage_reader
from real_excerpts import apnea_nights, shown_each_second
from real_people import apnea_records, real_folder
from real_usefulness import TASKS, folds_by_person
from shortcut import ARMS, arguments, figures, table
from shortcut_probes import diagnosis_numbers, site_numbers
from sleep2vec.data.window import WindowReader
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.vocabulary.subject import Subject
from study_figures import Results, as_json, difference_of, kappa_of, over_people, over_seeds

torch.set_num_threads(1)  # on a busy machine two threads that wait for each other are ten times slower
SLOW = ("airflow", "belt", "spo2", "resp")


def test_the_reader_reaches_the_least_penalised_cross_entropy():
    """Judge: torch, by its own descent on the loss as it is stated."""
    draw = np.random.default_rng(0)
    x_ND = draw.standard_normal((400, 6)).astype(np.float32)
    y_N = (x_ND[:, 0] + draw.standard_normal(400) > 0).astype(np.int64) + (x_ND[:, 1] > 1)
    told_NC = logistic(x_ND, y_N, 5, penalty=0.02)(x_ND)
    w_DC, b_C = torch.zeros(6, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    descent = torch.optim.LBFGS([w_DC.requires_grad_(), b_C.requires_grad_()], max_iter=500, tolerance_grad=1e-9)

    def loss() -> torch.Tensor:
        descent.zero_grad()
        logits_NC = torch.from_numpy(x_ND).double() @ w_DC + b_C
        value = torch.nn.functional.cross_entropy(logits_NC, torch.from_numpy(y_N)) + 0.02 * w_DC.square().sum()
        value.backward()
        return value

    descent.step(loss)
    expected_NC = (torch.from_numpy(x_ND).double() @ w_DC + b_C).detach().softmax(1).numpy()
    assert np.allclose(told_NC[:, :3], expected_NC, atol=0.005)
    assert not told_NC[:, 3:].any()


def test_a_reader_of_one_class_says_that_class():
    told_NC = logistic(np.zeros((3, 2), dtype=np.float32), np.full(3, 2), 5)(np.zeros((4, 2), dtype=np.float32))
    assert (told_NC.argmax(axis=1) == 2).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
def test_auroc_and_balanced_accuracy_are_sklearns(pairs):
    truth_N, score_N = np.array([case for case, _ in pairs]), np.array([float(score) for _, score in pairs])
    if truth_N.all() or not truth_N.any():
        assert auroc(truth_N, score_N) is None
        return
    assert auroc(truth_N, score_N) == pytest.approx(roc_auc_score(truth_N, score_N))
    said_N = (score_N > 0).astype(np.int64)
    assert balanced_accuracy(truth_N.astype(np.int64), said_N) == pytest.approx(
        balanced_accuracy_score(truth_N, said_N)
    )


def test_what_is_invalid_or_absent_is_the_mean_and_says_nothing():
    draw = np.random.default_rng(1)
    x_ND, valid_N = draw.normal(5, 2, (200, 3)).astype(np.float32), draw.random(200) < 0.7
    x_ND[~valid_N] = 1e6
    part = {"ibi": (x_ND, valid_N), "resp": (x_ND * 3, valid_N)}
    standard = Standard([part], ("ibi", "resp"))
    told_ND = standard(part, 200)
    assert not told_ND[~valid_N].any()
    assert np.allclose(told_ND[valid_N].mean(axis=0), 0, atol=1e-4)
    assert np.allclose(told_ND[valid_N].std(axis=0), 1, atol=1e-3)
    assert not standard({"resp": part["resp"]}, 200)[:, :3].any()
    assert not standard({}, 7).any()


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 130), st.one_of(st.none(), st.integers(1, 6)), st.integers(1, 9))
def test_windows_lie_side_by_side_inside_the_night(n_tokens, window_tokens, n_windows, stride):
    length = min(n_tokens, window_tokens)
    starts = window_starts(n_tokens, length, n_windows)
    assert all(b - a >= length for a, b in pairwise(starts))
    assert starts[0] == 0
    assert starts[-1] + length <= n_tokens
    whole = kept_tokens(n_tokens, window_tokens, n_windows)
    assert len(set(whole.tolist())) == len(starts) * length
    assert kept_tokens(n_tokens, window_tokens, n_windows, stride).tolist() == whole[::stride].tolist()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    """Nights whose stage is the level of the saturation, and whose site is the size of the belt's waves."""
    draw = np.random.default_rng(4)
    nights = []
    for number in range(12):
        stages_L = draw.integers(0, 5, 40).astype(np.float32)
        site = ("near", "far", "held")[number % 3]
        waves = draw.standard_normal((40, 120)) * (1.0, 4.0, 16.0)[number % 3]
        samples = {"spo2": 80 + 3 * stages_L[:, None] + draw.standard_normal((40, 120)) * 0.1, "belt": waves}
        sick = float(site == "far")
        nights.append(
            made_night(
                f"n{number:02d}",
                number,
                modalities=SLOW,
                stages=stages_L,
                samples=samples,
                site=site,
                subject=Subject(subject_id=f"p{number // 2}" if number < 4 else f"q{number}", measures={"x": sick}),
            )
        )
    return store_of(tmp_path_factory.mktemp("studies") / "store", nights)


def _level_and_size(modality, view):
    """(B, L, 2): a representation that a person can follow."""
    return torch.stack((view.values_BLS.mean(-1), view.values_BLS.std(-1)), -1)


def _told(store, ids, stride=1, n_windows=None):
    return frozen_nights(_level_and_size, WindowReader(store), ids, SLOW, 16, stride=stride, n_windows=n_windows)


def test_frozen_nights_keep_the_stages_and_validity_of_their_tokens(store):
    (night,) = _told(store, ["n03"], stride=3, n_windows=2)
    assert night.index_N.tolist() == list(range(0, 32, 3))
    assert night.stages_N.tolist() == store.stages("n03")[night.index_N].tolist()
    for name in SLOW:
        assert night.valid[name].tolist() == store.valid("n03", name)[night.index_N].tolist()
        assert not night.tokens[name][~night.valid[name]].any()
        whole = _told(store, ["n03"])[0]
        first_WD = whole.tokens[name][:16][whole.valid[name][:16]].mean(axis=0)
        assert np.allclose(whole.windows[name][0], first_WD, atol=1e-4)


def test_stages_that_a_signal_tells_are_read_from_it_and_not_from_noise(store):
    taught, judged = _told(store, ["n00", "n01", "n02"]), _told(store, ["n09", "n10"])

    def kappa(modalities):
        read = stage_reader(taught, modalities, penalty=1e-5)
        counts = [stage_counts(night, read(night), modalities) for night in judged]
        for night, counted in zip(judged, counts, strict=True):
            assert counted.sum() == np.any([night.valid[name] for name in modalities], axis=0).sum()
        return kappa_of(counts)

    assert kappa(("spo2",)) > 0.8
    assert abs(kappa(("resp",))) < 0.25


def test_the_site_is_read_where_it_shows_and_is_chance_where_not(store):
    nights = _told(store, [f"n{number:02d}" for number in range(12)])
    seen = [night for night in nights if night.row.site != "held"]
    held = [night for night in nights if night.row.site == "held"]
    shown = site_numbers(seen[:4], seen[4:], held, ("airflow",), 0)
    assert shown["site, in, chance"] == 0.5
    assert shown["new site, chance"] == pytest.approx(1 / 3)
    # Stored waves of a belt keep their size: nothing scales them by night in this store.
    told = site_numbers(seen[:4], seen[4:], held, ("belt",), 0)
    assert told["site, in"] > 0.9
    assert told["new site"] > 0.9


def test_a_reader_of_sites_that_only_knows_people_gains_nothing():
    """Made by hand: every person has a direction of his own and no site has one; people are apart, so it is chance."""
    draw = np.random.default_rng(9)

    def nights(sites, n_people):
        people = [(f"{site}{k}-{draw.integers(1e9)}", site) for site in sites for k in range(n_people)]
        return [
            SimpleNamespace(
                row=SimpleNamespace(person=person, site=site),
                windows={"ibi": (direction + 0.1 * draw.standard_normal((4, 128))).astype(np.float32)},
            )
            for person, site in people
            for direction in [draw.standard_normal(128)]
            for _ in range(2)  # two nights each
        ]

    told = [
        site_numbers(nights(["a", "b"], 20), nights(["a", "b"], 40), nights(["c"], 40), ("ibi",), seed)
        for seed in range(6)
    ]
    for name in ("site, in", "new site"):
        assert np.mean([each[name] for each in told]) == pytest.approx(told[0][f"{name}, chance"], abs=0.06)


def test_a_diagnosis_that_only_the_site_causes_is_told_inside_and_not_outside():
    """Made by hand: one feature is the site; cases are of one site; outside, the feature means nothing."""
    draw = np.random.default_rng(5)

    def night(person, site_feature, sick):
        x_WD = np.array([[site_feature, draw.standard_normal()]], dtype=np.float32)
        row = SimpleNamespace(measures={"diagnosis.asthma": float(sick)}, person=person, site="s")
        return SimpleNamespace(row=row, windows={"ibi": x_WD})

    def group(n, inside):
        sick = draw.random(n) < 0.5
        return [night(str(k), float(s if inside else draw.random() < 0.5), s) for k, s in enumerate(sick)]

    told = diagnosis_numbers(group(80, True), group(60, True), group(400, False), ("ibi",))
    assert told["diagnosis, asthma, in"] > 0.95
    assert told["diagnosis, asthma, out"] == pytest.approx(0.5, abs=0.08)


def test_partners_that_are_equal_are_found_and_strangers_by_chance(store):
    """A space where every modality says which token it is: found among people and moments; noise: chance."""
    ids = [f"n{number:02d}" for number in range(12)]
    reader = WindowReader(store)
    names = {}
    draw = np.random.default_rng(6)

    class Space(Pretrained):
        def aligned(self, modality, view):
            shape = view.valid_BL.shape
            return names.setdefault("same", torch.from_numpy(draw.standard_normal((*shape, 16)).astype("f4")))

    class Noise(Pretrained):
        def aligned(self, modality, view):
            return torch.from_numpy(draw.standard_normal((*view.valid_BL.shape, 16)).astype("f4"))

    encoder = Encoder(ModelConfig(size="tiny", modalities=SLOW))
    found = retrieval(Space(encoder, torch.nn.Identity()), reader, ids, 20, 0)
    assert found["people"] == found["moments"] == 1
    assert found["people asked"] == 10
    found = retrieval(Noise(encoder, torch.nn.Identity()), reader, ids, 20, 0)
    assert found["people"] == pytest.approx(found["people chance"], abs=0.05)
    assert found["moments"] == pytest.approx(found["moments chance"], abs=0.03)


def test_an_interval_over_seeds_is_students():
    values = [0.1, 0.3, 0.25, 0.2]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    figure = over_seeds(values)
    assert (figure.mean, figure.low, figure.high) == pytest.approx((np.mean(values), low, high))
    assert figure.tells
    assert not over_seeds([0.1]).tells
    told = json.loads(as_json({"one": over_seeds([0.1]), "four": figure}))
    assert (told["one"]["mean"], told["one"]["low"]) == (0.1, None)
    assert told["four"]["seeds"] == values
    assert not over_seeds([0.1, -0.05, 0.02]).tells


def test_an_interval_over_people_keeps_nights_seeds_and_pairs_together():
    draw = np.random.default_rng(7)
    truth = [draw.integers(0, 3, 50) for _ in range(6)]
    said = [[np.where(draw.random(50) < p, t, draw.integers(0, 3, 50)) for t in truth] for p in (0.5, 0.8)]
    counts = [
        [np.histogram2d(t, s, bins=(range(4), range(4)))[0].astype(int) for t, s in zip(truth, told, strict=True)]
        for told in said
    ]
    figure = over_people(kappa_of, counts, list("aabbcc"))
    expected = [cohen_kappa_score(np.concatenate(truth), np.concatenate(told)) for told in said]
    assert figure.seeds == pytest.approx(expected)
    assert figure.mean == pytest.approx(np.mean(expected))
    assert figure.low < figure.mean < figure.high
    # Who comes twice and is the same both times tells nothing more.
    twice = over_people(kappa_of, [[c for c in seed for _ in range(2)] for seed in counts], list("aabbccddeeff"))
    once = over_people(kappa_of, counts, list("abcdef"))
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    # Of equals the difference is 0 in every resample, however unsure the figures themselves are.
    same = over_people(difference_of(kappa_of), [list(zip(c, c, strict=True)) for c in counts], list("aabbcc"))
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert not same.tells
    pairs = list(zip(counts[1], counts[0], strict=True))
    better = over_people(difference_of(kappa_of), [pairs, pairs], list("aabbcc"))
    assert better.mean == pytest.approx(expected[1] - expected[0])
    assert better.tells
    assert not over_people(difference_of(kappa_of), [pairs], list("aabbcc")).tells  # what seeds do is not known


def test_differences_between_arms_are_paired_by_seed():
    base = [0.2, 0.5, 0.8]
    found = {arm: [None, None, None] for arm in ARMS}
    found["infonce"] = [{"site, in": value} for value in base]
    found["dash"] = [{"site, in": value - 0.1} for value in base[:2]] + [None]
    told = figures(found)
    assert told["site, in"]["dash - infonce"].seeds == pytest.approx((-0.1, -0.1))
    assert told["site, in"]["dash - infonce"].tells
    assert not told["site, in"]["infonce"].tells
    assert "Too small to tell" not in table(told, found)


def test_results_are_made_once_and_not_mixed_with_others(tmp_path: Path):
    made = []
    results = Results(tmp_path, {"steps": 3, "store": Path("here")})
    for _ in range(2):
        assert results.once("a-0", lambda: made.append(1) or {"kappa": 0.5}) == {"kappa": 0.5}
    assert len(made) == 1
    assert json.loads((tmp_path / "a-0.json").read_text()) == {"kappa": 0.5}
    assert Results(tmp_path, {"steps": 3, "store": Path("here")}).get("a-0") == {"kappa": 0.5}
    with pytest.raises(SystemExit, match="made with another steps"):
        Results(tmp_path, {"steps": 4, "store": Path("here")})


def test_folds_hold_every_night_once_and_nobody_twice(store):
    folds = folds_by_person(store, 3, 0)
    assert sorted(night for fold in folds for night in fold) == sorted(row.night_id for row in store.rows)
    people = [{store.row(night).person for night in fold} for fold in folds]
    assert len(set.union(*people)) == sum(map(len, people))
    assert folds != folds_by_person(store, 3, 1)


def test_minutes_are_pairs_of_tokens_and_know_their_neighbours():
    tokens_ND = np.arange(10, dtype=np.float32)[:, None]
    valid_N = np.array([True] * 7 + [False] * 3)
    x_MD, known_M = TASKS["apnea"].features(tokens_ND, valid_N)
    assert x_MD[:, :2].tolist() == [[0, 1], [2, 3], [4, 5], [6, 0], [0, 0]]
    assert known_M.tolist() == [True] * 4 + [False]
    steady_MD, _ = TASKS["apnea"].features(np.full((40, 1), 3.0, dtype=np.float32), np.arange(40) % 3 > 0)
    assert np.allclose(steady_MD[:, 2], 3.0)  # a constant is its own mean, whatever is missing
    told_M2 = TASKS["apnea"].merge(
        np.array([[0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [np.nan] * 3, [0.3, 0.1, 0.6], [np.nan] * 3, [np.nan] * 3])
    )
    assert np.allclose(told_M2[:2], [[(0.25 + 0.5) / 2, (0.75 + 0.5) / 2], [0.75, 0.25]], atol=1e-6)
    assert np.isnan(told_M2[2]).all()
    assert TASKS["apnea"].truth(np.array([0, 0, 1, 1, 1])).tolist() == [0, 1]


def test_scores_of_nights_are_those_of_their_samples_together():
    """Judge: scikit-learn, on the samples whose truth is known."""
    draw = np.random.default_rng(8)
    nights = []
    for _ in range(3):
        true = draw.integers(0, 2, 60).astype(float)
        told = np.clip(0.5 + (true - 0.5) * 0.3 + 0.3 * draw.standard_normal(60), 0, 1)
        true[::7] = np.nan
        nights.append([true.tolist(), (1 - told).tolist(), told.tolist()])
    true, _, told = np.concatenate([np.array(night) for night in nights], axis=1)
    known = ~np.isnan(true)
    scores = TASKS["apnea"].scores
    assert scores["AUROC"].of(nights) == pytest.approx(roc_auc_score(true[known], told[known]))
    assert scores["kappa"].of(nights) == pytest.approx(cohen_kappa_score(true[known], told[known] > 0.5))
    assert scores["accuracy"].of(nights) == pytest.approx((true[known] == (told[known] > 0.5)).mean())
    staged = draw.dirichlet(np.ones(5), 80)
    codes = draw.integers(0, 5, 80).astype(float)
    three = np.array([0, 1, 1, 1, 2])
    sums = np.stack([staged[:, 0], staged[:, 1:4].sum(axis=1), staged[:, 4]], axis=1)
    expected = cohen_kappa_score(three[codes.astype(int)], sums.argmax(axis=1))
    assert TASKS["stages"].scores["kappa, three"].of([[codes, *staged.T]]) == pytest.approx(expected)


def test_a_watch_shows_its_last_rate_and_not_an_old_one():
    shown_T = shown_each_second(np.array([-2.0, 3.0, 40.0]), np.array([60.0, 70.0, 50.0]), 45)
    assert shown_T[[0, 2, 3, 18]].tolist() == [60, 60, 70, 70]
    assert np.isnan(shown_T[[19, 39]]).all()
    assert shown_T[40] == 50


def test_beats_of_apnea_ecg_stand_where_they_were_found():
    """Judge: in each valid token the median over time of the interval between its beats, straight from the file.

    About one beat a minute is not in the file; a median does not mind.
    """
    folder = real_folder()
    if folder is None:
        pytest.skip("the real recordings are not here; set S2V_SHARED to the folder that holds real_data")
    night = next(apnea_nights(folder))
    record = next(r for r in apnea_records(folder, "calibration") if r.name == night.night_id)
    valid_L = night.valid["ibi"]
    assert valid_L.mean() > 0.8
    ibi_LS = night.samples["ibi"].reshape(night.n_tokens, -1)
    token_of = (record.times_s // 30).astype(int)
    intervals = [np.diff(record.times_s[token_of == place]) for place in np.flatnonzero(valid_L)]
    expected_L = [np.median(np.repeat(of_token_s, np.rint(100 * of_token_s).astype(int))) for of_token_s in intervals]
    off_L = np.abs(np.median(ibi_LS[valid_L], axis=1) / expected_L - 1)
    assert np.quantile(off_L, 0.9) < 0.04
    assert record.apnea_M is not None
    assert night.stages is not None
    assert night.stages[::2].astype(bool).tolist() == record.apnea_M.tolist()


def test_unknown_arms_are_refused(capsys):
    with pytest.raises(SystemExit):
        arguments(["--arms", "infonce,dahs"])
    assert "there is no arm dahs" in capsys.readouterr().err
