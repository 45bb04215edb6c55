#!/usr/bin/env python3
"""The analyzer beside what else reads a trace: the same job, the same file, the same run, in turns.

The job: per process and operation count, median, p95, p99 (nearest rank) and longest call; per process the
number, sum and longest of the stints off the CPU. The analyzer does it as the rules in job.rules, so with
coverage, evidence and rank on top; the others as a query. Every answer is compared with the first.

    cargo build --release -p ingero
    analyzer/benches/peers/run.py [--events 1000000] [--rounds 5] [--only NAME,...]

Packages come from PyPI into target/peers. A peer that cannot be installed is left out and named.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[2] / "target"
PACKAGES = [
    "duckdb==1.5.5",
    "duckdb-extension-sqlite-scanner==1.5.5",
    "polars==2.1.0",
    "connectorx==0.4.6",
    "pandas==3.1.1",
    "pyarrow==26.0.1",
]

NAMES = "SELECT s.id AS source, o.op_id AS op, o.name FROM ops o JOIN sources s ON s.id = o.source_id"


def sql_percentiles(table):
    """Nearest rank, for engines without it: the row whose number is ceil(p * n)."""
    pick = ", ".join(
        f"max(CASE WHEN k = (n * {p} + 99) / 100 THEN duration END)" for p in (50, 95, 99)
    )
    return f"""
        SELECT pid, source, op, max(n), {pick}, max(duration) FROM (
          SELECT pid, source, op, duration,
                 row_number() OVER w AS k, count(*) OVER (PARTITION BY pid, source, op) AS n
          FROM {table} WHERE source <> 3 WINDOW w AS (PARTITION BY pid, source, op ORDER BY duration))
        GROUP BY pid, source, op"""


def sql_off_cpu(table):
    """Scheduling rows carry the thread; whose it is, calls of the same thread say."""
    return f"""
        SELECT p.pid, count(*), sum(e.duration), max(e.duration)
        FROM {table} e JOIN (SELECT DISTINCT tid, pid FROM {table} WHERE source = 1) p ON p.tid = e.tid
        WHERE e.source = 3 AND e.op = 1 GROUP BY p.pid"""


def read_sqlite3(trace):
    import sqlite3

    db = sqlite3.connect(f"file:{trace}?immutable=1", uri=True)
    return db.execute(sql_percentiles("events")).fetchall(), db.execute(sql_off_cpu("events")).fetchall()


def duckdb_job(db):
    calls = db.execute(
        """SELECT pid, source, op, count(*), quantile_disc(duration, [0.5, 0.95, 0.99]), max(duration)
           FROM e WHERE source <> 3 GROUP BY ALL"""
    ).fetchall()
    return [(p, s, o, n, *q, m) for p, s, o, n, q, m in calls], db.execute(sql_off_cpu("e")).fetchall()


def read_duckdb(trace):
    """Its best setting over a SQLite file: copied into a table of its own first, order not kept."""
    import duckdb
    import duckdb_extension_sqlite_scanner as scanner

    db = duckdb.connect()
    db.execute("SET preserve_insertion_order = false")
    extension = next(Path(scanner.__file__).parent.rglob("*.duckdb_extension"))
    db.execute(f"LOAD '{extension}'")
    db.execute(
        f"""CREATE TABLE e AS SELECT duration, pid, tid, source, op
            FROM sqlite_scan('{trace}', 'events')"""
    )
    return duckdb_job(db)


def read_duckdb_parquet(trace):
    """On a copy that was made before, its making not counted."""
    import duckdb

    db = duckdb.connect()
    db.execute(f"CREATE VIEW e AS SELECT * FROM '{trace}.parquet'")
    return duckdb_job(db)


def read_polars(trace):
    import polars as pl

    e = pl.read_database_uri(
        "SELECT duration, pid, tid, source, op FROM events", f"sqlite://{trace}", engine="connectorx"
    )
    rank = lambda p: pl.col("duration").sort().get((pl.len() * p + 99) // 100 - 1).alias(f"p{p}")
    calls = (
        e.filter(pl.col("source") != 3)
        .group_by("pid", "source", "op")
        .agg(pl.len().alias("n"), rank(50), rank(95), rank(99), pl.col("duration").max().alias("max"))
    )
    whose = e.filter(pl.col("source") == 1).select("tid", pl.col("pid").alias("owner")).unique()
    off = (
        e.filter((pl.col("source") == 3) & (pl.col("op") == 1))
        .join(whose, on="tid")
        .group_by("owner")
        .agg(pl.len().alias("n"), pl.col("duration").sum().alias("sum"), pl.col("duration").max().alias("max"))
    )
    return calls.rows(), off.rows()


def read_pandas(trace):
    import sqlite3

    import pandas as pd

    db = sqlite3.connect(f"file:{trace}?immutable=1", uri=True)
    e = pd.read_sql_query("SELECT duration, pid, tid, source, op FROM events", db)
    calls = []
    for (pid, source, op), g in e[e.source != 3].groupby(["pid", "source", "op"]):
        d = g.duration.sort_values().to_numpy()
        calls.append((pid, source, op, len(d), *(d[(len(d) * p + 99) // 100 - 1] for p in (50, 95, 99)), d[-1]))
    whose = e[e.source == 1][["tid", "pid"]].drop_duplicates().rename(columns={"pid": "owner"})
    off = e[(e.source == 3) & (e.op == 1)].merge(whose, on="tid").groupby("owner").duration
    off = off.agg(["count", "sum", "max"])
    return calls, [(k, *row) for k, row in zip(off.index, off.to_numpy())]


READERS = {
    "DuckDB, CREATE TABLE AS, order not kept": read_duckdb,
    "DuckDB, Parquet copy": read_duckdb_parquet,
    "Polars, connectorx": read_polars,
    "pandas, sqlite3 module": read_pandas,
    "sqlite3 module, SQL": read_sqlite3,
}
ANALYZER = "ingero analyze, job.rules"
PACKS = "ingero analyze, all packs (does more)"


def answer(calls, off):
    """One shape for all: sorted rows of integers."""
    return [sorted([int(v) for v in row] for row in rows) for rows in (calls, off)]


def of_report(report, names):
    """The same from the analyzer's report, where numbers stand in the evidence."""
    calls, off = [], []
    for d in report["diagnoses"]:
        values = [e["value"] for e in d["evidence"]]
        if d["rule"] == "OFF_CPU":
            off.append((d["key"]["pid"], *values))
        else:
            calls.append((d["key"]["pid"], *names[d["key"]["op"]], *values))
    return answer(calls, off)


def op_names(trace):
    import sqlite3

    db = sqlite3.connect(f"file:{trace}?immutable=1", uri=True)
    return {name: (source, op) for source, op, name in db.execute(NAMES)}


def measure(command):
    """Wall and CPU seconds, peak MiB and standard output of a process."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begin
    if status != 0:
        raise RuntimeError(f"{command[:3]} ended with status {status}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="part of the name of those to run")
    parser.add_argument("--ingero", default=str(TARGET / "release" / "ingero"))
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    parser.add_argument("--trace", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reader:
        json.dump(answer(*READERS[args.reader](args.trace)), sys.stdout)
        return

    venv = TARGET / "peers"
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", venv])
    subprocess.call([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES])
    trace = TARGET / f"peers-{args.events}.db"
    if not trace.exists():
        subprocess.check_call([args.ingero, "simulate", "bulk", "-o", trace, "--events", str(args.events)])
    if not Path(f"{trace}.parquet").exists():
        copy = (
            "import sys, polars as pl; pl.read_database_uri('SELECT duration, pid, tid, source, op FROM events',"
            "'sqlite://' + sys.argv[1], engine='connectorx').write_parquet(sys.argv[1] + '.parquet')"
        )
        subprocess.check_call([python, "-c", copy, trace])

    names = op_names(trace)
    analyze = [args.ingero, "analyze", "--quiet", "--format", "json"]
    commands = {ANALYZER: [*analyze, "--rules", HERE / "job.rules", trace], PACKS: [*analyze, trace]}
    for name in READERS:
        commands[name] = [python, __file__, "--reader", name, "--trace", trace]
    if args.only:
        wanted = [part.lower() for part in args.only.split(",")]
        commands = {n: c for n, c in commands.items() if any(part in n.lower() for part in wanted)}
    runs = {name: [] for name in commands}
    want, differ, missing = None, [], []
    for _ in range(args.rounds):
        for name, command in commands.items():
            if name in missing:
                continue
            try:
                *numbers, out = measure(command)
            except RuntimeError as error:
                missing.append(name)
                print(error, file=sys.stderr)
                continue
            runs[name].append(numbers)
            if name == PACKS:
                continue
            got = json.loads(out)
            got = of_report(got, names) if name == ANALYZER else got
            want = want or got
            if got != want and name not in differ:
                differ.append(name)
    print(f"\n{args.events:,} events, {trace.stat().st_size / 1e6:,.0f} MB, {os.cpu_count()} cores, median of {args.rounds}")
    print("| what | wall s | CPU s | peak MiB | x CPU of the analyzer | answer |")
    print("| --- | --- | --- | --- | --- | --- |")
    base = statistics.median(r[1] for r in runs[ANALYZER]) if runs.get(ANALYZER) else None
    for name, all_runs in runs.items():
        if not all_runs:
            print(f"| {name} | did not run | | | | |")
            continue
        wall, cpu, peak = (statistics.median(r[k] for r in all_runs) for k in range(3))
        times = f"{cpu / base:.2f}" if base else "-"
        same = "-" if name == PACKS else "differs" if name in differ else "the same"
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:,.0f} | {times} | {same} |")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
