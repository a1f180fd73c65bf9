"""Load on the loopback: 64 clients for a minute, with good, bad and aborted requests.

Prints how each kind of request was answered, and the server's memory before and after. Fails if an
answer is missing or wrong, if the server ends, or if its memory grows by more than a tenth."""

import argparse
import collections
import http.client
import json
import pathlib
import random
import socket
import sys
import threading
import time

from conftest import TOP, Server

GOOD = {"prompt": "a red circle", "steps": 1, "width": 16, "height": 16}


def connection(server):
    return http.client.HTTPConnection("127.0.0.1", server.facts["port"], timeout=120)


def request(server, method, path, body=None, headers=None):
    """The status of an answer that is read to its end."""
    client = connection(server)
    try:
        headers = {"Content-Type": "application/json", **(headers or {})}
        client.request(method, path, None if body is None else json.dumps(body), headers)
        answer = client.getresponse()
        answer.read()
        return answer.status
    finally:
        client.close()


def image(server):
    return request(server, "POST", "/sdapi/v1/txt2img", GOOD), {200, 429}


def job(server):
    """A job that is followed to its end, with its image."""
    client = connection(server)
    try:
        client.request("POST", "/api/generate", json.dumps(GOOD), {"Content-Type": "application/json"})
        answer = client.getresponse()
        text = answer.read()
        if answer.status != 202:
            return answer.status, {429}
        place = "/api/jobs/" + json.loads(text)["id"]
        client.request("GET", place + "/events")
        events = client.getresponse().read()
        if b"event: end" not in events:
            return "no end", set()
        client.request("GET", place + "/images/0.png")
        answer = client.getresponse()
        answer.read()
        # A job whose image the server no longer keeps was removed as one of the oldest.
        return answer.status, {200, 404}
    finally:
        client.close()


def list_of_jobs(server):
    return request(server, "GET", "/api/jobs"), {200}


def page(server):
    return request(server, "GET", "/"), {200}


def invalid(server):
    return request(server, "POST", "/api/generate", {"prompt": "a", "width": 17}), {422}


def no_json(server):
    return request(server, "POST", "/v1/images/generations", headers={"Content-Type": "text/plain"}), {415}


def other_host(server):
    return request(server, "GET", "/api/server", headers={"Host": "evil.example"}), {421}


def garbage(server):
    with socket.create_connection(("127.0.0.1", server.facts["port"]), timeout=60) as client:
        client.sendall(random.randbytes(200) + b"\r\n\r\n")
        return int(client.recv(100).split()[1]), {400}


def aborted(server):
    """Goes away before the answer, or within the request."""
    body = json.dumps({**GOOD, "steps": 50}).encode()
    head = b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    text = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", server.facts["port"]), timeout=60) as client:
        client.sendall(text[: random.choice([10, len(text) - 5, len(text), len(text)])])
        time.sleep(random.random() / 5)
    return "aborted", {"aborted"}


KINDS = [image, job, list_of_jobs, page, invalid, no_json, other_host, garbage, aborted]


def work(server, end, counts, wrong, lock):
    while time.monotonic() < end:
        kind = random.choice(KINDS)
        try:
            status, expected = kind(server)
        except (OSError, http.client.HTTPException) as error:
            status, expected = repr(error), set()
        with lock:
            counts[kind.__name__, str(status)] += 1
            if status not in expected:
                wrong.append((kind.__name__, status))


def load(server, clients, seconds):
    counts, wrong, lock = collections.Counter(), [], threading.Lock()
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=work, args=(server, end, counts, wrong, lock)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(pathlib.Path(TOP) / "Fixtures/mini-sd"))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    server = Server([arguments.model])
    # The memory of a server that has worked for as long: the model is read, and the history is full.
    load(server, arguments.clients, arguments.seconds)
    time.sleep(3)
    before = server.memory()
    counts, wrong = load(server, arguments.clients, arguments.seconds)
    time.sleep(3)
    after = server.memory()
    for (kind, status), count in sorted(counts.items()):
        print(f"{kind:14} {status:10} {count:7}")
    print(f"{sum(counts.values())} requests of {arguments.clients} clients in {arguments.seconds} s")
    print(f"memory: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after")
    code, errors = server.stop()
    if wrong:
        sys.exit(f"{len(wrong)} wrong answers: {collections.Counter(wrong).most_common(5)}")
    if code != 0:
        sys.exit(f"the server ended with code {code}: {errors}")
    if after > 1.1 * before:
        sys.exit("the memory grew by more than a tenth")


if __name__ == "__main__":
    main()
