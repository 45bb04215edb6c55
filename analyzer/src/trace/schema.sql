-- The trace file: what our recorder and our simulator write.
--
-- The first part is generation 0.10 of the Ingero trace format: same tables, same columns in the
-- same order, so that readers of that format find all they need. The second part is ours; other
-- readers ignore it. All timestamps are nanoseconds since the Unix epoch, all durations are
-- nanoseconds, unless a column says otherwise.

PRAGMA auto_vacuum = 2;
PRAGMA user_version = 10;

-- ---------------------------------------------------------------- Ingero 0.10

-- `timestamp` is the START of a call for sources 1, 4, 8 and 9, and the END of the interval for
-- sched_switch (3/1), block I/O (5) and sockets (7). Writers of ours insert with rowid = the number
-- behind the colon of `id`, so that the detail tables below can refer to a row by that number.
CREATE TABLE events (
  id          TEXT PRIMARY KEY,              -- '{node}:{seq}'
  timestamp   INTEGER NOT NULL,
  pid         INTEGER NOT NULL,
  tid         INTEGER NOT NULL,
  source      INTEGER NOT NULL,
  op          INTEGER NOT NULL,
  duration    INTEGER NOT NULL,
  gpu_id      INTEGER NOT NULL DEFAULT 0,
  arg0        INTEGER NOT NULL DEFAULT 0,    -- u64 bit pattern
  arg1        INTEGER NOT NULL DEFAULT 0,    -- u64 bit pattern
  ret_code    INTEGER NOT NULL DEFAULT 0,
  stack_hash  INTEGER NOT NULL DEFAULT 0,
  node        TEXT NOT NULL DEFAULT '',
  rank        INTEGER,
  local_rank  INTEGER,
  world_size  INTEGER,
  comm        TEXT NOT NULL DEFAULT '',
  stack_ips   TEXT NOT NULL DEFAULT '',
  cgroup_id   INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE event_aggregates (
  bucket    INTEGER NOT NULL,
  source    INTEGER NOT NULL,
  op        INTEGER NOT NULL,
  pid       INTEGER NOT NULL DEFAULT 0,
  count     INTEGER NOT NULL DEFAULT 0,
  stored    INTEGER NOT NULL DEFAULT 0,
  sum_dur   INTEGER NOT NULL DEFAULT 0,
  min_dur   INTEGER NOT NULL DEFAULT 0,
  max_dur   INTEGER NOT NULL DEFAULT 0,
  sum_arg0  INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (bucket, source, op, pid)
);
CREATE TABLE event_aggregates_5s (
  bucket    INTEGER NOT NULL,
  source    INTEGER NOT NULL,
  op        INTEGER NOT NULL,
  pid       INTEGER NOT NULL DEFAULT 0,
  count     INTEGER NOT NULL DEFAULT 0,
  stored    INTEGER NOT NULL DEFAULT 0,
  sum_dur   INTEGER NOT NULL DEFAULT 0,
  min_dur   INTEGER NOT NULL DEFAULT 0,
  max_dur   INTEGER NOT NULL DEFAULT 0,
  sum_arg0  INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (bucket, source, op, pid)
);

CREATE TABLE stack_traces (
  hash   INTEGER PRIMARY KEY,
  ips    TEXT NOT NULL,
  frames TEXT NOT NULL DEFAULT ''
);

CREATE TABLE causal_chains (
  id              TEXT PRIMARY KEY,
  detected_at     INTEGER NOT NULL,
  severity        TEXT NOT NULL,
  summary         TEXT NOT NULL,
  root_cause      TEXT NOT NULL,
  explanation     TEXT NOT NULL,
  recommendations TEXT NOT NULL DEFAULT '',
  cuda_op         TEXT NOT NULL DEFAULT '',
  cuda_p99_us     INTEGER NOT NULL DEFAULT 0,
  cuda_p50_us     INTEGER NOT NULL DEFAULT 0,
  tail_ratio      REAL NOT NULL DEFAULT 0,
  timeline        TEXT NOT NULL DEFAULT '',
  node            TEXT NOT NULL DEFAULT ''
);

CREATE TABLE system_snapshots (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  cpu_pct   REAL NOT NULL DEFAULT 0,         -- 0..100, the whole host
  mem_pct   REAL NOT NULL DEFAULT 0,
  mem_avail INTEGER NOT NULL DEFAULT 0,      -- MiB
  swap_mb   INTEGER NOT NULL DEFAULT 0,      -- MiB in use
  load_avg  REAL NOT NULL DEFAULT 0          -- 1 min
);
CREATE UNIQUE INDEX idx_snapshots_ts_uniq ON system_snapshots(timestamp);

CREATE TABLE sessions (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at  INTEGER NOT NULL,
  stopped_at  INTEGER NOT NULL DEFAULT 0,    -- 0 = never closed
  gpu_model   TEXT NOT NULL DEFAULT '',
  gpu_driver  TEXT NOT NULL DEFAULT '',
  cpu_model   TEXT NOT NULL DEFAULT '',
  cpu_cores   INTEGER NOT NULL DEFAULT 0,
  mem_total   INTEGER NOT NULL DEFAULT 0,    -- MiB
  kernel      TEXT NOT NULL DEFAULT '',
  os_release  TEXT NOT NULL DEFAULT '',
  cuda_ver    TEXT NOT NULL DEFAULT '',
  python_ver  TEXT NOT NULL DEFAULT '',
  ingero_ver  TEXT NOT NULL DEFAULT '',
  pid_filter  TEXT NOT NULL DEFAULT '',
  flags       TEXT NOT NULL DEFAULT '',      -- 'record-all' where every event is a row
  node        TEXT NOT NULL DEFAULT '',
  rank        INTEGER,
  local_rank  INTEGER,
  world_size  INTEGER
);
CREATE INDEX idx_sessions_started ON sessions(started_at);

CREATE TABLE process_names (
  pid     INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  seen_at INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE cgroup_metadata (
  cgroup_id    INTEGER PRIMARY KEY,
  container_id TEXT NOT NULL DEFAULT '',
  cgroup_path  TEXT NOT NULL DEFAULT '',
  pod_name     TEXT NOT NULL DEFAULT '',
  namespace    TEXT NOT NULL DEFAULT ''
);
CREATE TABLE cgroup_schedstat (
  cgroup_id     INTEGER NOT NULL,
  p99_off_cpu   INTEGER NOT NULL DEFAULT 0,
  total_off_cpu INTEGER NOT NULL DEFAULT 0,
  event_count   INTEGER NOT NULL DEFAULT 0,
  window_start  INTEGER NOT NULL DEFAULT 0,
  window_end    INTEGER NOT NULL,
  PRIMARY KEY (cgroup_id, window_end)
);

CREATE TABLE annotations (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp  INTEGER NOT NULL,
  labels     TEXT NOT NULL,                  -- JSON object, string to string
  pid        INTEGER NOT NULL DEFAULT 0,     -- 0 = the whole trace
  start_time INTEGER NOT NULL DEFAULT 0,
  span_start INTEGER NOT NULL DEFAULT 0,     -- both 0 = an instant
  span_end   INTEGER NOT NULL DEFAULT 0,
  peer_uid   INTEGER NOT NULL DEFAULT 0,
  peer_gid   INTEGER NOT NULL DEFAULT 0,
  peer_pid   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX idx_annotations_timestamp ON annotations(timestamp);
CREATE INDEX idx_annotations_pid ON annotations(pid) WHERE pid != 0;

CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '');
CREATE TABLE ops (
  source_id   INTEGER NOT NULL,
  op_id       INTEGER NOT NULL,
  name        TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (source_id, op_id)
);
CREATE TABLE schema_info (key TEXT PRIMARY KEY, value TEXT NOT NULL);

-- ---------------------------------------------------------------- ours

-- Facts about the recording. Keys: 'format' (this part's version, '1'), 'recorder' (program and
-- version), 'record_all' ('1' when every event seen became a row), 'clock' (how monotonic time was
-- turned into wall time), 'boot_id' (recordings of one boot share their monotonic clock), 'host_cores',
-- and whatever a later version adds.
CREATE TABLE recording (key TEXT PRIMARY KEY, value TEXT NOT NULL);

-- Every probe that was wanted: status 'attached', 'missing' (the symbol or tracepoint is not
-- there), or 'failed' (the kernel said no). `target` is a library path or ''.
CREATE TABLE recording_probes (
  probe  TEXT NOT NULL,
  target TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (probe, target)
);

-- Events that were seen and did not become rows although they should have. One row per probe, CPU
-- and second with a loss; no row means no loss. The table itself present means losses were counted.
-- `probe` is the source name ('cuda', 'driver', 'graph', 'nccl', 'sched', 'mem', 'process', 'io',
-- 'net', 'tcp', 'xid'), or 'pages' for the counts of page allocations; cpu -1 where the loss happened in user space.
CREATE TABLE recording_losses (
  probe  TEXT NOT NULL,
  cpu    INTEGER NOT NULL,
  bucket INTEGER NOT NULL,                   -- start of the second
  lost   INTEGER NOT NULL,
  reason TEXT NOT NULL DEFAULT '',           -- 'ring_full', 'queue_full', 'map_full', 'disk_full'
  PRIMARY KEY (probe, cpu, bucket, reason)
);

-- What was deliberately not stored: calls of (source, op) shorter than `min_dur` ns from `since`
-- on became aggregates and histogram counts only. No row: everything was stored.
CREATE TABLE recording_thresholds (
  source  INTEGER NOT NULL,
  op      INTEGER NOT NULL,
  min_dur INTEGER NOT NULL,
  since   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (source, op)
);

-- Durations of ALL calls of (source, op, pid) in a bucket, stored or not: exact counts in
-- log-linear slots. Slot s < 16 holds durations of exactly s ns; slot s >= 16 holds
-- [(16 + s % 16) << (s / 16 - 1), (17 + s % 16) << (s / 16 - 1)) ns, which is 6.25 % wide.
CREATE TABLE recording_histograms (
  bucket INTEGER NOT NULL,
  source INTEGER NOT NULL,
  op     INTEGER NOT NULL,
  pid    INTEGER NOT NULL,
  slot   INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (bucket, source, op, pid, slot)
);

-- Threads of the targets: those older than the recorder and those that came later. `traced` is 1
-- where sched events of this thread were recorded for its whole life in the trace, so that no row
-- means it was never off CPU.
CREATE TABLE tasks (
  tid        INTEGER NOT NULL,
  pid        INTEGER NOT NULL,               -- thread group (the process)
  ppid       INTEGER NOT NULL DEFAULT 0,
  comm       TEXT NOT NULL DEFAULT '',
  start_ns   INTEGER NOT NULL DEFAULT 0,     -- first known; 0 = older than the recording
  exit_ns    INTEGER NOT NULL DEFAULT 0,     -- 0 = alive at the end
  traced     INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tid, start_ns)
);

-- More about a sched_switch row of `events` (same number as the row's id). `state` is the state in
-- which the thread left its CPU: 0 runnable (it was preempted), 1 interruptible sleep, 2
-- uninterruptible sleep (I/O), other bits as in the kernel. `woken_at` is the last wake-up before
-- it came back, 0 if none was seen. `cpu` is the one it came back on, 65535 where it was still off
-- when the recording ended. `preemptor` is the thread that took the CPU when it left.
CREATE TABLE sched_details (
  event     INTEGER PRIMARY KEY,
  state     INTEGER NOT NULL,
  cpu       INTEGER NOT NULL DEFAULT -1,
  woken_at  INTEGER NOT NULL DEFAULT 0,
  waker     INTEGER NOT NULL DEFAULT 0,
  preemptor INTEGER NOT NULL DEFAULT 0
);

-- More about a call of `events`, only where the row has no place for it: the stream of a copy, the
-- graph or exec handle of a graph call.
CREATE TABLE call_details (
  event  INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL DEFAULT 0,
  handle INTEGER NOT NULL DEFAULT 0
);

-- NCCL calls that make a communicator (seq 0), collectives, sends and receives. The interval (enter,
-- return on the host) is the row of source 9 in `events`; a call that only queues work returns before
-- the GPU has done any of it. `comm_id` tells a communicator across processes and hosts: a hash of the
-- unique id its ranks were given, of a split that of its parent, the colour and the number of the split.
-- 0 where the recorder came later than the communicator, and in files older than the column.
CREATE TABLE nccl_calls (
  event   INTEGER PRIMARY KEY,
  comm    INTEGER NOT NULL,                  -- communicator handle in its process
  seq     INTEGER NOT NULL,                  -- counted per communicator, from 1
  count   INTEGER NOT NULL,
  dtype   INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  peer    INTEGER NOT NULL DEFAULT -1,       -- root or peer rank
  rank    INTEGER NOT NULL DEFAULT -1,
  nranks  INTEGER NOT NULL DEFAULT -1,
  comm_id INTEGER NOT NULL DEFAULT 0
);

-- Calls that had begun and not returned, which therefore are no rows of `events`: of a thread that
-- ended inside the call (how 'exit'), or when it was last looked, once a second and at the end of the
-- recording (how 'open'; while recording goes on only those that are at least 1 s old). The call went
-- on at least until `seen_ns`. The other columns are as in `events`, `call_details` and `nccl_calls`.
CREATE TABLE open_calls (
  pid      INTEGER NOT NULL,
  tid      INTEGER NOT NULL,
  source   INTEGER NOT NULL,
  op       INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  seen_ns  INTEGER NOT NULL,
  how      TEXT NOT NULL,
  depth    INTEGER NOT NULL DEFAULT 0,       -- open calls around it on its thread
  arg0     INTEGER NOT NULL DEFAULT 0,
  arg1     INTEGER NOT NULL DEFAULT 0,
  stream   INTEGER NOT NULL DEFAULT 0,
  handle   INTEGER NOT NULL DEFAULT 0,
  seq      INTEGER NOT NULL DEFAULT 0,       -- of a collective, else 0
  peer     INTEGER NOT NULL DEFAULT -1,
  rank     INTEGER NOT NULL DEFAULT -1,
  nranks   INTEGER NOT NULL DEFAULT -1,
  comm_id  INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tid, start_ns, depth)
);

-- Page allocations of the targets, which are counted and never rows: by process and order (the
-- allocation is 4096 << ord bytes), in buckets of 5 s.
CREATE TABLE page_allocs (
  bucket INTEGER NOT NULL,
  pid    INTEGER NOT NULL,
  ord    INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (bucket, pid, ord)
);

CREATE TABLE xids (
  timestamp INTEGER NOT NULL,
  device    TEXT NOT NULL,
  xid       INTEGER NOT NULL,
  message   TEXT NOT NULL DEFAULT ''
);

-- cpu.stat of the cgroups of the targets, once a second, cumulative as the kernel gives them. `usage_us`
-- is 0 where version 1 counts CPU time in another hierarchy than the one that limits it.
CREATE TABLE cgroup_cpu (
  timestamp     INTEGER NOT NULL,
  cgroup_path   TEXT NOT NULL,
  usage_us      INTEGER NOT NULL,
  nr_periods    INTEGER NOT NULL DEFAULT 0,
  nr_throttled  INTEGER NOT NULL DEFAULT 0,
  throttled_us  INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (timestamp, cgroup_path)
);

-- Wall clock minus monotonic clock, sampled through the recording, and the error bound of a sample.
-- `wall_error_ns` is how far the wall clock itself may be from true time, by the kernel's own bound: -1
-- where nothing keeps it in step. It is what stamps of two hosts can be compared by.
CREATE TABLE clock_offsets (
  timestamp     INTEGER PRIMARY KEY,
  offset_ns     INTEGER NOT NULL,
  error_ns      INTEGER NOT NULL,
  wall_error_ns INTEGER NOT NULL DEFAULT -1
);

-- What is true in this trace, where somebody knows it: written by the simulator, or beside a
-- recording from the log of the program that misbehaved on purpose.
CREATE TABLE truth (
  id       INTEGER PRIMARY KEY,
  kind     TEXT NOT NULL,                    -- 'cause', 'symptom', 'healthy', 'twin', 'may', 'note'
  rule     TEXT NOT NULL DEFAULT '',         -- the rule that should name it, or must not
  pid      INTEGER NOT NULL DEFAULT 0,
  tid      INTEGER NOT NULL DEFAULT 0,
  start_ns INTEGER NOT NULL DEFAULT 0,
  end_ns   INTEGER NOT NULL DEFAULT 0,
  value    INTEGER NOT NULL DEFAULT 0,
  note     TEXT NOT NULL DEFAULT ''
);
