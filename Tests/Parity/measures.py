"""The measures and tolerances of the numeric contract."""

import os

import numpy as np

COMPONENT = 1e-4  # relative RMS of one component's output
LATENTS = 1e-3  # relative RMS of the latents after the last step
PIXELS = 0.999  # share of the pixels within one level of 255


worst = {}  # test -> its largest relative RMS error, for the summary at the end


def relative_rms(found, expected):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"found {found.shape}, expected {expected.shape}"
    error = float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split("[")[0].split(" ")[0]
    worst[test] = max(error, worst.get(test, 0.0))
    return error


def share_within_one_level(found, expected):
    found, expected = np.asarray(found, np.int64), np.asarray(expected, np.int64)
    assert found.shape == expected.shape, f"found {found.shape}, expected {expected.shape}"
    return float(np.mean(np.abs(found - expected) <= 1))
