"""The APIs, called by clients of other authors, and with hostile requests."""

import base64
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import openai
import pytest
import webuiapi
from conftest import DECANT, Server
from PIL import Image

LIMITS = ("--max-side", "64", "--max-steps", "3", "--max-count", "2")


def call(server, method, path, body=None, headers=None):
    """The status and the JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(server.url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_openai(server):
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
    names = [model.id for model in client.models.list()]
    assert names == ["mini-sd", "int8.decant", "small.decant"]
    assert client.models.retrieve("int8.decant").owned_by == "decant"
    answer = client.images.generate(
        model="int8.decant", prompt="a red circle", n=2, size="64x64", response_format="b64_json",
        extra_body={"steps": 2, "seed": 5, "negative_prompt": "green"})
    images = [Image.open(io.BytesIO(base64.b64decode(data.b64_json))) for data in answer.data]
    assert [image.size for image in images] == [(64, 64), (64, 64)]
    assert "Seed: 6" in images[1].text["parameters"]
    with pytest.raises(openai.UnprocessableEntityError, match="n is 99"):
        client.images.generate(prompt="a", n=99)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


def test_webuiapi(server):
    api = webuiapi.WebUIApi(baseurl=server.url + "/sdapi/v1", sampler="Euler", steps=2)
    assert api.util_get_model_names() == sorted(["mini-sd", "int8.decant", "small.decant"])
    assert "DPM++ 2M" in [sampler["name"] for sampler in api.get_samplers()]
    assert [schedule["name"] for schedule in api.get_schedulers()] == ["automatic", "karras"]
    first = api.txt2img(prompt="a red circle", seed=3, width=64, height=64, batch_size=2)
    assert [image.size for image in first.images] == [(64, 64)] * 2
    assert first.info["all_seeds"] == [3, 4]
    again = api.txt2img(prompt="a red circle", seed=4, width=64, height=64)
    assert again.image.tobytes() == first.images[1].tobytes()
    start = api.img2img(
        images=[first.image], prompt="a blue circle", seed=3, width=64, height=64, denoising_strength=0.6)
    assert start.image.size == (64, 64) and start.image.tobytes() != first.image.tobytes()
    api.util_set_model("small.decant")
    assert api.get_options()["sd_model_checkpoint"] == "small.decant"
    assert api.txt2img(prompt="a", width=64, height=64).info["sd_model_name"] == "small.decant"
    api.util_set_model("mini-sd")
    assert api.get_progress()["progress"] == 0
    with pytest.raises(RuntimeError, match="enable_hr is true"):
        api.txt2img(prompt="a", enable_hr=True)


def test_the_document_agrees_with_the_server(models, tmp_path):
    """schemathesis makes requests from the OpenAPI document, valid and invalid ones."""
    server = Server(models[1:], *LIMITS)
    try:
        # A queue may be full, and another request may cancel a job. Schemas express neither that a text is a
        # PNG in base64 nor what two members are together, such as a sampler with a schedule.
        statuses = '["2xx", "404", "409", "429", "422"]'
        places = ("/api/generate", "/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/v1/images/generations")
        (tmp_path / "schemathesis.toml").write_text("".join(
            f'[[operations]]\ninclude-path = "{place}"\n'
            f"checks.positive_data_acceptance.expected-statuses = {statuses}\n" for place in places))
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", server.url + "/openapi.json", "--max-examples", "8",
            "--seed", "1", "--workers", "1", "--request-timeout", "60", "--no-color",
            "--exclude-path", "/api/bench"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    finally:
        assert server.stop()[0] == 0


# Conduct


def test_a_client_that_goes_away_takes_its_job_with_it(server):
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "a", "steps": 150, "batch_size": 8, "width": 256, "height": 256}).encode()
    head = f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        while call(server, "GET", "/sdapi/v1/progress")[1]["state"]["job_count"] == 0:
            time.sleep(0.05)
    begun = time.monotonic()
    while call(server, "GET", "/sdapi/v1/progress")[1]["state"]["job_count"] > 0:
        assert time.monotonic() - begun < 20
        time.sleep(0.05)
    assert call(server, "GET", "/api/jobs")[1]["jobs"][0]["state"] == "cancelled"


@pytest.mark.parametrize("request_text,status", [
    (b"GET / HTTP/1.1\r\n\r\n", b"400"), (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
    (b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
    (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
    (b"GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405"),
])
def test_bad_requests_are_refused(server, request_text, status):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(request_text)
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert call(server, "GET", "/api/server")[0] == 200


def received(client):
    """What the server sends until it closes the connection."""
    answers = b""
    while part := client.recv(65_536):
        answers += part
    return answers


def test_requests_follow_on_one_connection(server):
    host, port = server.url.removeprefix("http://").split(":")
    one = b"GET /sdapi/v1/samplers HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"HEAD /api/server HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(one + one + last)
        answers = received(client)
    assert answers.count(b"HTTP/1.1 200 OK") == 3 and answers.endswith(b"connection: close\r\n\r\n")


def test_chunks_and_expectations_are_understood(server):
    host, port = server.url.removeprefix("http://").split(":")
    head = (b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(head)
        assert client.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        for byte in b"3\r\n{\"a\r\n6\r\n\": 1}\n\r\n0\r\n\r\n":
            client.sendall(bytes([byte]))
        answer = received(client)
    assert b"prompt is missing" in answer


def test_the_token_is_needed(models):
    server = Server(models[1:2], "--token", "sesame")
    try:
        assert call(server, "GET", "/api/server")[0] == 401
        assert call(server, "GET", "/api/server", headers={"Authorization": "Bearer sesame"})[0] == 200
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="sesame")
        assert len(client.models.list().data) == 1
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=server.url + "/v1", api_key="other").models.list()
        api = webuiapi.WebUIApi(baseurl=server.url + "/sdapi/v1")
        api.set_auth("anyone", "sesame")
        assert api.get_options()["sd_model_checkpoint"] == "int8.decant"
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_while_it_works(models, number):
    server = Server(models[:1])
    answers = []
    body = {"prompt": "a", "steps": 150, "count": 8, "width": 256, "height": 256}
    assert call(server, "POST", "/api/generate", body)[0] == 202
    waiting = threading.Thread(target=lambda: answers.append(follow(server)))
    waiting.start()
    time.sleep(1)
    begun = time.monotonic()
    code, errors = server.stop(number)
    assert code == 0 and errors.endswith("decant: stopped\n"), errors
    assert time.monotonic() - begun < 20
    waiting.join(timeout=20)
    assert not waiting.is_alive()


def follow(server):
    """Reads the events of the newest job until the server closes the connection."""
    job = call(server, "GET", "/api/jobs")[1]["jobs"][0]["id"]
    try:
        with urllib.request.urlopen(server.url + f"/api/jobs/{job}/events", timeout=60) as answer:
            return answer.read()
    except (OSError, http.client.HTTPException):
        return None


@pytest.mark.parametrize("arguments,message", [
    (["--host", "0.0.0.0"], "0.0.0.0 can be reached from other machines, and no token is set; pass --token"),
    (["--host", "example.org", "--token", "x"], "the host is example.org, expected an IP address or localhost"),
    (["--allow-origin", "example.org"], "the origin example.org is not a scheme and a host"),
])
def test_settings_are_refused(models, arguments, message):
    ended = subprocess.run([DECANT, "serve", models[1], *arguments], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and message in ended.stderr, ended.stderr


def test_a_port_in_use_is_named(models, server):
    port = str(server.facts["port"])
    ended = subprocess.run(
        [DECANT, "serve", models[1], "--port", port], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in ended.stderr
    assert "choose another --port" in ended.stderr
