"""The service under load and under nonsense: python tests/benchmarks/bench_service.py model.onnx [requests].

Prints requests a second and p95 on the loopback, and the statuses of 10,000 broken requests. Ends with 1 if one of them
stops the service, gets a 500 or is shown a traceback.
"""

import http.client
import io
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from kpretrain.tools import serve

ODD = [b"NaN", b"1e999", b"[[7]]", b"{}", b"null", b'"x"', b"-", b"", b"\x00\xff", b"9" * 400]


def broken(body, random):
    """The bytes of a request, with some parts changed, left out or doubled, or cut off."""
    parts = body.split(b",")
    for _ in range(random.integers(1, 4)):
        k, new = random.integers(len(parts)), ODD[random.integers(len(ODD))]
        kinds = [new], [], [parts[k]] * 2, [parts[k][: len(parts[k]) // 2] + new]
        parts[k : k + 1] = kinds[random.integers(4)]
        parts = parts or [b" "]
    whole = b",".join(parts)
    return whole if random.random() < 0.8 else whole[: random.integers(len(whole) + 1)]


def fuzz(ask, rows, n, seed=0):
    """Send n broken requests by `ask(body, kind)` -> (status, answer); return how often each status came."""
    random, statuses, picture = np.random.default_rng(seed), Counter(), io.BytesIO()
    Image.new("L", (9, 9)).save(picture, "PNG")
    good = json.dumps({"rows": rows}).encode()
    for k in range(n):
        body, kind = (picture.getvalue(), "image/png") if k % 3 == 0 else (good, "application/json")
        status, answer = ask(broken(body, random), kind)
        if status >= 500 or "Traceback" in str(answer):
            raise SystemExit(f"Request {k} got {status}: {answer}")
        statuses[status] += 1
    return statuses


def main(path, n=10_000):
    """Load, then fuzz."""
    service = serve.Service(serve.Network(path), port=0)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    ((shape, _),) = service.network.inputs.values()
    rows = np.zeros((1, *shape)).tolist()

    def ask(body, kind="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", service.server_port, timeout=20)
        connection.request("POST", "/predict", body, {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def timed(_):
        start = time.perf_counter()
        assert ask(json.dumps({"rows": rows}))[0] == 200
        return 1000 * (time.perf_counter() - start)

    start = time.perf_counter()
    with ThreadPoolExecutor(4) as clients:
        times = list(clients.map(timed, range(2000)))
    print(f"{2000 / (time.perf_counter() - start):.0f} requests/s, p95 {np.quantile(times, 0.95):.1f} ms")
    print(f"{n:,} broken requests: {dict(sorted(fuzz(ask, rows, int(n)).items()))}")
    print(f"and then a good one: {ask(json.dumps({'rows': rows}))[0]}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
