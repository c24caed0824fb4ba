"""Serve one ONNX network over HTTP: `python serve.py model.onnx --port 8000`.

This file runs alone, with NumPy, ONNX Runtime and Pillow. `POST /predict` takes `{"rows": [...]}` as application/json,
or one picture as image/png, and answers `{"classes": [...], "probabilities": [[...]]}`. `GET /health` tells what the
network expects. What cannot be answered gets a status from 400 on and one line `{"error": "..."}`.
"""

import argparse
import contextlib
import io
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime
from PIL import Image

BYTES, ROWS, PIXELS = 4_000_000, 256, 4_000_000  # the most in a request: of its body, of rows, of a picture
SECONDS, AT_ONCE = 10.0, 16  # the longest that a client may take in all; requests that are served at a time
KINDS = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}


class Refused(Exception):
    """A request that cannot be answered: the status of HTTP, and one line that says why.

    Examples
    --------
    >>> raise Refused(413, "The body is too long.")
    Traceback (most recent call last):
    kpretrain.tools.serve.Refused: (413, 'The body is too long.')
    """


class Network:
    """The network in an ONNX file, with the checks of what it is given.

    Parameters
    ----------
    path : str or path
        Of the file. Inputs are (n, ...), the output is (n, classes): logits or probabilities.
    """

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4  # requests, not layers, share the cores
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {one.name: (one.shape[1:], KINDS[one.type]) for one in self.session.get_inputs()}

    def expects(self):
        """What a client must send: {input: {"shape": of one row, "dtype": name}}; null is a free length."""
        free = {name: [n if isinstance(n, int) else None for n in shape] for name, (shape, _) in self.inputs.items()}
        return {name: {"shape": free[name], "dtype": kind.__name__} for name, (_, kind) in self.inputs.items()}

    def rows(self, given):
        """{input: array (n, ...)} from the `rows` of a request: a list, or a dict of lists if inputs are several."""
        if len(self.inputs) == 1:
            given = {next(iter(self.inputs)): given}
        if not isinstance(given, dict) or given.keys() != self.inputs.keys():
            raise Refused(422, f"rows must be an object with the lists {', '.join(self.inputs)}.")
        arrays = {name: _checked(given[name], name, *self.inputs[name]) for name in given}
        if len({len(array) for array in arrays.values()}) > 1:
            raise Refused(422, "The inputs differ in their number of rows.")
        return arrays

    def picture(self, body):
        """{input: array (1, height, width, channels)} from the bytes of a PNG, brought to the network's size."""
        ((name, (shape, kind)), *others) = self.inputs.items()
        if others or len(shape) != 3 or shape[2] not in (1, 3) or not all(isinstance(n, int) for n in shape):
            raise Refused(415, "This network takes no picture. Send its rows as application/json.")
        try:
            image = Image.open(io.BytesIO(body), formats=["PNG"])
            if image.width * image.height > PIXELS:
                raise Refused(413, f"A picture may have {PIXELS:,} pixels at most.")
            image = image.convert("L" if shape[2] == 1 else "RGB").resize((shape[1], shape[0]))
        except Refused:
            raise
        except Exception as error:  # Pillow raises many kinds for a file that is damaged
            raise Refused(400, "The body is no PNG that can be read.") from error
        return {name: np.asarray(image, kind).reshape(1, *shape)}

    def answer(self, arrays):
        """The classes (n,) and probabilities (n, classes) of {input: array}, as lists."""
        try:
            scores = self.session.run(None, arrays)[0].astype("float64")
        except Exception as error:  # such as a token that the vocabulary does not have
            raise Refused(422, "The network refuses these rows.") from error
        if scores.min() < 0 or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):  # logits
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
        if not np.isfinite(scores).all():
            raise Refused(422, "The network finds no finite answer for these rows.")
        return {"classes": scores.argmax(axis=1).tolist(), "probabilities": scores.round(6).tolist()}


def _checked(given, name, shape, kind):
    """One input's list as an array of its dtype: numbers, as many as are wanted in a row, all of them finite."""
    try:
        array = np.array(given)
    except (ValueError, OverflowError) as error:
        raise Refused(422, f"{name}: the rows differ in length.") from error
    if not isinstance(given, list) or array.dtype.kind not in "iuf":
        raise Refused(422, f"{name}: the rows must be lists of numbers.")
    fits = [have == want or not isinstance(want, int) for have, want in zip(array.shape[1:], shape, strict=False)]
    if array.ndim != len(shape) + 1 or not all(fits):
        wanted = ", ".join(str(n) if isinstance(n, int) else "any" for n in shape)
        raise Refused(422, f"{name}: a row must have the shape ({wanted}), not {array.shape[1:]}.")
    if not 1 <= len(array) <= ROWS or not array.size:
        raise Refused(413 if len(array) else 422, f"{name}: send 1 to {ROWS} rows, not {len(array)}.")
    with np.errstate(all="ignore"):
        cast = array.astype(kind)
    if not np.isfinite(array).all() or not np.isfinite(cast).all():
        raise Refused(422, f"{name}: every number must be finite.")
    if np.dtype(kind).kind in "iu" and not np.array_equal(cast, array):
        raise Refused(422, f"{name}: whole numbers are wanted, within {np.dtype(kind).name}.")
    return cast


class Service(ThreadingHTTPServer):
    """The server: a thread a request, so many at once and no more. `Service(network, port)`; port 0 takes a free one.

    Examples
    --------
    >>> Service.daemon_threads
    True
    """

    daemon_threads, request_queue_size = True, 64
    allow_reuse_address = os.name != "nt"  # on Windows two services could take the same port

    def __init__(self, network, port=8000, host="127.0.0.1"):
        self.network, self.free = network, threading.BoundedSemaphore(AT_ONCE)
        super().__init__((host, port), Handler)

    def process_request(self, request, address):
        """Start a thread for a request, once one of the places is free."""
        self.free.acquire()
        super().process_request(request, address)

    def process_request_thread(self, request, address):
        """Answer a request, and free its place whatever happens."""
        try:
            super().process_request_thread(request, address)
        finally:
            self.free.release()

    def handle_error(self, request, address):
        """Say in one line what went wrong with a connection: clients go away, and that is no reason for a traceback."""
        print(f"serve: {type(sys.exc_info()[1]).__name__} on a connection", file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """One request: checked, answered as JSON, and its connection closed.

    Examples
    --------
    >>> Handler.timeout
    10.0
    """

    timeout = SECONDS  # of one read

    def setup(self):
        """Give the client so many seconds in all: one that sends a byte now and then must not hold a place."""
        super().setup()
        self.alarm = threading.Timer(SECONDS, self.hang_up)
        self.alarm.daemon = True
        self.alarm.start()

    def hang_up(self):
        """Read no more; the answer still goes out."""
        with contextlib.suppress(OSError):  # the client was quicker
            self.connection.shutdown(socket.SHUT_RD)

    def finish(self):
        """Close the connection."""
        self.alarm.cancel()
        super().finish()

    def do_GET(self):
        """Tell that the service runs, and what it expects."""
        if self.path == "/health":
            return self.say(200, {"status": "ok", "inputs": self.server.network.expects()})
        return self.say(404, {"error": "There are GET /health and POST /predict."})

    def do_POST(self):
        """Answer a request, or say in one line why not."""
        try:
            self.say(200, self.predicted())
        except Refused as refused:
            self.say(refused.args[0], {"error": refused.args[1]})
        except OSError:  # the client is gone, or took too long
            self.close_connection = True
        except Exception as error:  # nothing of it is the client's business
            print(f"serve: {type(error).__name__}: {error}", file=sys.stderr)
            self.say(500, {"error": "The service failed on this request."})

    def predicted(self):
        """Read and check the body, and ask the network."""
        if self.path != "/predict":
            raise Refused(404, "There are GET /health and POST /predict.")
        length = self.headers.get("Content-Length")
        if length is None:
            raise Refused(411, "Say the length of the body in Content-Length.")
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise Refused(400, "Content-Length must be a whole number.")
        if int(length) > BYTES:
            raise Refused(413, f"The body may have {BYTES:,} bytes at most.")
        body = self.rfile.read(int(length))  # whole, as a body left unread would reset the connection at its end
        if len(body) < int(length):
            raise Refused(408, f"The body has {length} bytes by its header, and {len(body)} came.")
        kind = self.headers.get_content_type()
        if kind not in ("application/json", "image/png"):
            raise Refused(415, "The content type must be application/json or image/png.")
        network = self.server.network
        if kind == "image/png":
            return network.answer(network.picture(body))
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "The body is no JSON that can be read.") from error
        if not isinstance(asked, dict) or "rows" not in asked:
            raise Refused(422, 'The body must be an object such as {"rows": [...]}.')
        return network.answer(network.rows(asked["rows"]))

    def say(self, status, content):
        """Send a status and a JSON object."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code, message=None, explain=None):
        """Say in JSON, too, what the standard library finds wrong with a request."""
        self.say(code, {"error": message or "This request cannot be read."})

    def log_message(self, *arguments):
        """Write no line for each request: a server in front of this one does."""


def main(arguments=None):
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve one ONNX network over HTTP.")
    parser.add_argument("model", help="an .onnx file")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be reached from other machines")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    with Service(Network(options.model), options.port, options.host) as service:
        took = time.perf_counter() - start
        print(f"http://{options.host}:{service.server_port} is ready after {took:.2f} s", flush=True)
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
