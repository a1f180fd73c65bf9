"""stable-diffusion.cpp: generates an image of 256x256 pixels in two Euler steps without guidance.

`program` is its executable `sd-cli`. It has no way to call the U-Net alone.
"""

import re
import subprocess

from consumer import serve


def check(request, answer):
    command = [
        request["program"], "-m", request["file"], "-p", request["prompt"], "-o", request["output"],
        "--steps", str(request["steps"]), "--seed", str(request["seed"]), "--rng", "cpu",
        "-W", str(request["size"]), "-H", str(request["size"]), "--cfg-scale", "1",
        "--sampling-method", "euler", "--scheduler", "discrete", "--threads", "1", "--verbose"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    answer.missing = re.findall(r"tensor '(.+?)' not in model (?:file|metadata)", said)
    answer.unexpected = [name.partition(" ")[0] for name in re.findall(r"unknown tensor '(.+?)'", said)]
    version = re.search(r"version (\S+), commit (\w+)", said)
    answer.version = f"stable-diffusion.cpp {version[2]}" if version else "stable-diffusion.cpp"
    if done.returncode != 0:
        errors = re.findall(r"\[ERROR\]\s*(?:\S+:\d+\s*-\s*)?(.*)", said)
        answer.reason = errors[0] if errors else f"exit code {done.returncode}"
        raise ValueError(answer.reason)


if __name__ == "__main__":
    serve(check)
