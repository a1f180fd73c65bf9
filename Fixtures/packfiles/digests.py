"""Prints what the independent reader finds in a `.decant` file: SHA-256 of every stored part, of every
tensor as float32, and of every small file, as JSON: `python digests.py kinds.decant > kinds.json`.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Formats"))
import decant  # noqa: E402


def digests(model: decant.File) -> dict[str, Any]:
    def sha256(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    tensors: dict[str, Any] = {}
    for component in model.components.values():
        for tensor in component.tensors.values():
            entry: dict[str, Any] = {
                "shape": list(tensor.shape), "encoding": tensor.encoding.name,
                "parts": [sha256(model.read(region)) for region in tensor.regions]}
            try:
                entry["float32"] = sha256(model.tensor(component.name, tensor.name).astype("<f4").tobytes())
            except decant.DecantError:
                entry["float32"] = None
            tensors[f"{component.name}/{tensor.name}"] = entry
    return {"tensors": tensors, "files": {path: sha256(model.file(path)) for path in model.files}}


if __name__ == "__main__":
    with decant.open(sys.argv[1]) as model:
        print(json.dumps(digests(model), indent=1))
