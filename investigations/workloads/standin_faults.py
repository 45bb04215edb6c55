#!/usr/bin/env python3
"""Stands in for faults.py where there is no GPU: the same arguments and the same course.

    STANDIN=DIR standin_faults.py NAME ...

DIR holds the stand-in libraries that `standin_overhead.py` builds. Every program makes the same few
calls; in the faulty part the host waits for every one. For trying out gpu-visit.sh.
"""
import ctypes
import os
import sys
import time

import stage

NAMES = ["training", "decode", "contention", "throttled", "dataloader", "pageable", "sync",
         "allocator", "recapture", "smallkernels", "coldstart", "stray"]


def main():
    born = time.monotonic_ns()
    if sys.argv[1] == "neighbours":
        time.sleep(600)
        return
    a = stage.arguments(NAMES)
    log = stage.Log(a.name, a.log)
    cuda = ctypes.CDLL(os.path.join(os.environ["STANDIN"], "libcudart.so.13"))

    def step(faulty):
        for _ in range(20):
            cuda.cudaLaunchKernel(ctypes.c_void_p(1), *[ctypes.c_uint64(1)] * 4, None,
                                  ctypes.c_size_t(0), None)
            if faulty:
                cuda.cudaStreamSynchronize(None)
        cuda.cudaDeviceSynchronize()

    stage.warm_up(log, step, born)
    if a.name != "stray":
        stage.perform(a, log, step, None if a.name in ("training", "decode") else "waits for every call", 50)


if __name__ == "__main__":
    main()
