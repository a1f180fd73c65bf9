"""Golden values of picture metrics: `python make_similarity.py > similarity.json`.

SSIM is computed from its definition, window by window (Wang et al. 2004): no separable filters, no
running sums, numpy alone, in float64. Pictures are formulas, so that the tests can make them too.
"""

import json

import numpy as np

WINDOW, SIGMA = 11, 1.5


def pictures(width, height, amount):
    x, y, c = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    reference = (128 + 90 * np.sin(x / 5 + c) * np.cos(y / 7)).round().astype(int)
    noise = (x * 7 + y * 13 + c * 5 + x * y) % 31 - 15
    candidate = np.clip(reference + amount * noise // 15, 0, 255)
    return reference, candidate


def similarity(a, b):
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * SIGMA ** 2))
    weights /= weights.sum()
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    values = []
    for channel in range(3):
        for y in range(a.shape[0] - WINDOW + 1):
            for x in range(a.shape[1] - WINDOW + 1):
                u = a[y:y + WINDOW, x:x + WINDOW, channel] / 255
                v = b[y:y + WINDOW, x:x + WINDOW, channel] / 255
                mu, mv = (weights * u).sum(), (weights * v).sum()
                su = (weights * (u - mu) ** 2).sum()
                sv = (weights * (v - mv) ** 2).sum()
                suv = (weights * (u - mu) * (v - mv)).sum()
                values.append((2 * mu * mv + c1) * (2 * suv + c2)
                              / ((mu ** 2 + mv ** 2 + c1) * (su + sv + c2)))
    return float(np.mean(values))


cases = []
for width, height, amount in [(11, 11, 15), (16, 16, 4), (29, 17, 1), (24, 40, 60), (33, 33, 0)]:
    a, b = pictures(width, height, amount)
    error = ((a - b).astype(float) ** 2).mean()
    cases.append({
        "width": width, "height": height, "amount": amount,
        "ssim": similarity(a.astype(float), b.astype(float)),
        "psnr": None if error == 0 else float(10 * np.log10(255 ** 2 / error)),
        "largest": int(np.abs(a - b).max()),
        "share": float((np.abs(a - b).max(axis=2) <= 1).mean()),
        "sums": [int(a.sum()), int(b.sum())],
    })
print(json.dumps({"made_by": f"make_similarity.py, numpy {np.__version__}", "cases": cases}, indent=1))
