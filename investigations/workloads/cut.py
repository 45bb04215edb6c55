#!/usr/bin/env python3
"""cut.py TRACE OUT SECONDS_BEFORE SECONDS_AFTER [--whole]

Cuts a trace to what is shipped: the events from SECONDS_BEFORE before its fault (its second
healthy part, where it has none) to SECONDS_AFTER after the fault's start; --whole cuts nothing.
Aggregates, truth, threads, snapshots and losses stay whole, so sums and counts over the whole
run can still be read; the analyzer then says that rows are missing, which is so. `recording` says
what was cut. The paths of the machine it was recorded on are left out of its command.
"""
import os
import re
import shutil
import sqlite3
import sys

source, out, before, after = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
shutil.copyfile(source, out)
d = sqlite3.connect(out)
if "--whole" not in sys.argv:
    begin = d.execute("select min(start_ns) from truth where kind='cause' and start_ns > "
                      "(select min(timestamp) from events)").fetchone()[0]
    if begin is None:
        begin = d.execute("select start_ns from truth where kind='healthy' order by start_ns "
                          "limit 1 offset 1").fetchone()[0]
    low, high = int(begin - before * 1e9), int(begin + after * 1e9)
    n = d.execute("select count(*) from events").fetchone()[0]
    d.execute("delete from events where timestamp not between ? and ?", (low, high))
    for table in ("sched_details", "call_details", "nccl_calls"):
        d.execute(f"delete from {table} where event not in (select rowid from events)")
    kept = d.execute("select count(*) from events").fetchone()[0]
    d.execute("insert or replace into recording values('trimmed', ?)",
              (f"{kept} of {n} events kept: those from {low} to {high}; all else is whole",))
for table, column in (("recording", "value"), ("sessions", "flags")):
    for key, text in d.execute(f"select rowid, {column} from {table}").fetchall():
        clean = re.sub(r"/\S*/(investigations/)", r"\1", re.sub(r"/tmp/tmp\.\w+/", "", str(text)))
        if clean != str(text):
            d.execute(f"update {table} set {column}=? where rowid=?", (clean, key))
d.commit()
d.execute("vacuum")
d.close()
print(out, os.path.getsize(out))
