#!/usr/bin/env python3
"""pack.py DIR MIB: compresses every DIR/*.db to .db.xz so that all fit into MIB.

Indexes are dropped, for any reader can build them again. If the whole is too large, the largest
traces are cut to the seconds around their fault (healthy ones to their middle), and `recording`
says so under `trimmed`; aggregates, truth, threads and snapshots stay whole.
"""
import glob
import lzma
import os
import sqlite3
import sys
from concurrent.futures import ProcessPoolExecutor

AROUND_NS = 4_000_000_000


def squeeze(path):
    """Compresses one trace; its compressed size."""
    d = sqlite3.connect(path)
    for (name,) in d.execute("select name from sqlite_master where type='index' and sql is not "
                             "null and name like 'idx_events%'").fetchall():
        d.execute(f"drop index {name}")
    d.execute("insert or replace into recording values('indexes', 'those of events were dropped')")
    d.commit()
    d.execute("vacuum")
    d.execute("pragma wal_checkpoint(truncate)")
    d.close()
    with open(path, "rb") as source, lzma.open(path + ".xz", "wb", preset=3) as sink:
        while block := source.read(1 << 20):
            sink.write(block)
    return os.path.getsize(path + ".xz")


def trim(path, around):
    d = sqlite3.connect(path)
    row = d.execute("select min(start_ns), max(end_ns) from truth where kind='cause'").fetchone()
    if row[0] is None:
        begin, end = d.execute("select min(start_ns), max(end_ns) from truth where "
                               "kind='healthy'").fetchone()
        if begin is None:
            return
        middle = (begin + end) // 2
        row = (middle - around, middle + around)
    low, high = row[0] - around, row[1] + around
    n = d.execute("select count(*) from events").fetchone()[0]
    d.execute("delete from events where timestamp not between ? and ?", (low, high))
    for table in ("sched_details", "call_details", "nccl_calls"):
        d.execute(f"delete from {table} where event not in (select rowid from events)")
    kept = d.execute("select count(*) from events").fetchone()[0]
    d.execute("insert or replace into recording values('trimmed', ?)",
              (f"{kept} of {n} events kept: those from {low} to {high}",))
    d.commit()
    d.close()


def main():
    folder, budget = sys.argv[1], int(sys.argv[2]) << 20
    paths = sorted(glob.glob(f"{folder}/*.db"))
    with ProcessPoolExecutor() as pool:
        sizes = dict(zip(paths, pool.map(squeeze, paths)))
        for around in (AROUND_NS, AROUND_NS // 2, AROUND_NS // 8):
            if sum(sizes.values()) <= budget:
                break
            large = sorted(paths, key=lambda p: -sizes[p])[:max(1, len(paths) // 2)]
            for path in large:
                trim(path, around)
            sizes.update(zip(large, pool.map(squeeze, large)))
    for path in paths:
        print(f"{os.path.basename(path)}: {sizes[path]} bytes compressed")
    if sum(sizes.values()) > budget:
        for path in sorted(paths, key=lambda p: -sizes[p]):
            if sum(sizes.values()) <= budget:
                break
            os.remove(path + ".xz")
            print(f"{os.path.basename(path)} left out: too large")
            del sizes[path]


if __name__ == "__main__":
    main()
