"""The protocol between the runner and a program that reads Decant's files.

Each program has one file here, which the runner starts as `python NAME.py REQUEST.json` in a process
of its own, so that its peak memory is that of one check. The request names the program's checkout or
executable (`program`), the file or folder to load (`file`), the tensors of one U-Net call (`inputs`), the
diffusers folder of the same model (`folder`) and where to write the result (`output`). The process
writes REQUEST.json with the key `answer` added: an `Answer` as an object. An exception means that the
file does not load.
"""

import dataclasses
import json
import pathlib
import sys
import traceback


@dataclasses.dataclass
class Answer:
    """What a program made of a file."""

    loads: bool = False
    reason: str = ""  # why it does not load, or what it said
    missing: list = dataclasses.field(default_factory=list)
    unexpected: list = dataclasses.field(default_factory=list)
    version: str = ""


def serve(check):
    """Answers the request in the file that the command line names.

    `check(request, answer)` loads the file, fills in the answer and writes the output.
    """
    path = pathlib.Path(sys.argv[1])
    sys.argv = sys.argv[:1]
    request = json.loads(path.read_text())
    answer = Answer()
    try:
        check(request, answer)
        answer.loads = True
    except Exception as error:
        traceback.print_exc()
        answer.reason = answer.reason or f"{type(error).__name__}: {error}"
    path.write_text(json.dumps(request | {"answer": dataclasses.asdict(answer)}))


def one_thread():
    """Limits torch to one thread and returns it."""
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return torch


def record_loaded_keys(torch, answer, is_unused=lambda name: False):
    """Adds the missing and unexpected keys of every `load_state_dict` call from now on to the answer."""
    load = torch.nn.Module.load_state_dict

    def recorded(module, *arguments, **options):
        keys = load(module, *arguments, **options)
        kind = type(module).__name__
        answer.missing += [f"{kind}: {name}" for name in keys.missing_keys if not is_unused(name)]
        answer.unexpected += [f"{kind}: {name}" for name in keys.unexpected_keys]
        return keys

    torch.nn.Module.load_state_dict = recorded
