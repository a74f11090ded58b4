"""Centroids in every format in which they are published, and files that would run something if they were let."""

import pickle
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.cluster import KMeans, MiniBatchKMeans

from tokbench.codecs.centroids import read_centroids
from tokbench.errors import WeightsError

NUM_UNITS, NUM_FEATURES = 7, 5


@pytest.fixture
def estimator(rng: np.random.Generator) -> MiniBatchKMeans:
    frames = rng.standard_normal((500, NUM_FEATURES)).astype(np.float32)
    return MiniBatchKMeans(NUM_UNITS, random_state=np.random.RandomState(1), n_init=2, max_iter=5).fit(frames)


def expect(path: Path, centroids: np.ndarray) -> None:
    found = read_centroids(path, num_features=NUM_FEATURES)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), np.asarray(centroids, np.float32))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_joblib_dump_of_a_fitted_estimator(protocol: int, estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    joblib.dump(estimator, tmp_path / "km.bin", protocol=protocol)
    expect(tmp_path / "km.bin", estimator.cluster_centers_)


@pytest.mark.parametrize("suffix", ["bin", "pt", "pkl"])
def test_the_suffix_says_nothing(suffix: str, estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    joblib.dump(estimator, tmp_path / f"km.{suffix}")
    expect(tmp_path / f"km.{suffix}", estimator.cluster_centers_)


def test_double_precision_and_fortran_order(rng: np.random.Generator, tmp_path: Path) -> None:
    """What estimators fitted on float64 hold, and an array that is stored by columns."""
    estimator = KMeans(NUM_UNITS, n_init=1, random_state=0).fit(rng.standard_normal((200, NUM_FEATURES)))
    assert estimator.cluster_centers_.dtype == np.float64
    estimator.cluster_centers_ = np.asfortranarray(estimator.cluster_centers_)
    joblib.dump(estimator, tmp_path / "km.bin")
    expect(tmp_path / "km.bin", estimator.cluster_centers_)


def test_a_file_of_joblib_before_arrays_were_aligned(estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    """joblib 1.1 and before, with which GSLM's files were written, leaves no gap before an array."""
    with (tmp_path / "km.bin").open("wb") as file:
        Unaligned(file).dump(estimator)
    expect(tmp_path / "km.bin", estimator.cluster_centers_)


class Unaligned(joblib.numpy_pickle.NumpyPickler):
    def _create_array_wrapper(self, array: np.ndarray) -> joblib.numpy_pickle.NumpyArrayWrapper:
        wrapper = super()._create_array_wrapper(array)
        del wrapper.numpy_array_alignment_bytes
        return wrapper


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle(protocol: int, estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    (tmp_path / "km.pkl").write_bytes(pickle.dumps(estimator, protocol=protocol))
    expect(tmp_path / "km.pkl", estimator.cluster_centers_)


def test_arrays_and_tensors(rng: np.random.Generator, tmp_path: Path) -> None:
    centroids = rng.standard_normal((NUM_UNITS, NUM_FEATURES)).astype(np.float32)
    tensor = torch.from_numpy(centroids)
    np.save(tmp_path / "kmeans_10k.npy", centroids)
    torch.save({"codebook": tensor}, tmp_path / "codebook.pt")
    torch.save({"n_features_in_": 5, "_n_threads": 4, "cluster_centers_": tensor}, tmp_path / "kmeans.pt")
    torch.save(tensor, tmp_path / "tensor.pt")
    save_file({"centroids": tensor}, tmp_path / "centroids.safetensors")
    for path in tmp_path.iterdir():
        expect(path, centroids)
    assert len(list(tmp_path.iterdir())) == 5


class Malicious:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.mark.parametrize("dump", [joblib.dump, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_nothing_is_run(dump: object, estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    """A call in a file is not made, whether of the operating system, of Python or of NumPy."""
    victim = tmp_path / "victim"
    calls = [
        Malicious(Path.touch, victim),
        Malicious(eval, f"open({str(victim)!r}, 'w')"),
        Malicious(exec, f"open({str(victim)!r}, 'w')"),
        Malicious(time.sleep, 5),
        Malicious(np.save, victim, np.zeros(3)),
        Malicious(joblib.dump, 1, victim),
    ]
    started = time.monotonic()
    for call in calls:
        estimator.verbose = call
        dump(estimator, tmp_path / "km.bin")
        expect(tmp_path / "km.bin", estimator.cluster_centers_)
        dump(call, tmp_path / "call.bin")
        with pytest.raises(WeightsError, match=r"call\.bin: expected k-means centroids of 5 features"):
            read_centroids(tmp_path / "call.bin", num_features=NUM_FEATURES)
    assert list(tmp_path.glob("victim*")) == []
    assert time.monotonic() - started < 4
    # The same file does run something where it is unpickled.
    dump(Malicious(Path.touch, victim), tmp_path / "call.bin")
    joblib.load(tmp_path / "call.bin")
    assert victim.exists()


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    """joblib keeps such an array as a pickle inside of the pickle."""
    victim = tmp_path / "victim"
    joblib.dump(np.array([Malicious(Path.touch, victim)], dtype=object), tmp_path / "km.bin")
    with pytest.raises(WeightsError, match="an array of objects"):
        read_centroids(tmp_path / "km.bin", num_features=NUM_FEATURES)
    np.save(tmp_path / "km.npy", np.array([Malicious(Path.touch, victim)], dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match="unreadable"):
        read_centroids(tmp_path / "km.npy", num_features=NUM_FEATURES)
    assert not victim.exists()


def test_bytes_of_a_file_are_no_addresses(tmp_path: Path) -> None:
    """An array of objects over a buffer would take what stands there for where they are."""
    for call in (
        Malicious(np.ndarray, (1,), "u1", b"AAAAAAAA"),
        Malicious(np.ndarray, (1,), Malicious(np.dtype, "O"), b"AAAAAAAA"),
        Malicious(np.dtype, "O"),
        Malicious(np.dtype, [("a", "O")]),
    ):
        (tmp_path / "km.bin").write_bytes(pickle.dumps(call))
        with pytest.raises(WeightsError, match=r"made of a buffer|an array of "):
            read_centroids(tmp_path / "km.bin", num_features=NUM_FEATURES)


def test_every_truncation_is_refused(estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    joblib.dump(estimator, tmp_path / "whole.bin")
    data = (tmp_path / "whole.bin").read_bytes()
    for length in range(0, len(data) - 1, 41):
        (tmp_path / "km.bin").write_bytes(data[:length])
        with pytest.raises(WeightsError, match=r"km\.bin: expected .* found an unreadable file"):
            read_centroids(tmp_path / "km.bin", num_features=NUM_FEATURES)


def test_what_is_wrong_is_said(estimator: MiniBatchKMeans, tmp_path: Path) -> None:
    path = tmp_path / "km.bin"
    joblib.dump(estimator, path)
    with pytest.raises(WeightsError, match=r"of 768 features, found torch\.float32 of shape \[7, 5\]"):
        read_centroids(path, num_features=768)
    joblib.dump({"weights": 1}, path)
    with pytest.raises(WeightsError, match="found weights"):
        read_centroids(path, num_features=NUM_FEATURES)
    path.write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="found an unreadable file"):
        read_centroids(path, num_features=NUM_FEATURES)
    np.save(tmp_path / "nan.npy", np.full((3, NUM_FEATURES), np.nan, np.float32))
    with pytest.raises(WeightsError, match="found NaN or infinite values"):
        read_centroids(tmp_path / "nan.npy", num_features=NUM_FEATURES)
    with pytest.raises(WeightsError, match="No such file"):
        read_centroids(tmp_path / "nothing.bin", num_features=NUM_FEATURES)
