-- What a query finds beside the tables of the file. All times are nanoseconds since the Unix epoch,
-- all durations nanoseconds. Filled by the engine when a query names them; nothing here is computed
-- in SQL.

-- Whom the rules found what about, worst first, as in `ingero analyze`.
CREATE TEMP TABLE diagnoses (
  rank INTEGER, rule TEXT, rule_id TEXT, title TEXT, severity TEXT, score REAL, confidence REAL,
  node TEXT, pid INTEGER, process TEXT, tid INTEGER, op TEXT, more TEXT, link TEXT,
  start_ns INTEGER, end_ns INTEGER, lost_ns INTEGER, incidents INTEGER,
  message TEXT, fix TEXT, refuted_by TEXT, explained_by INTEGER
);
-- What each part of a rule saw; `rank` is that of its diagnosis, `part` counts from 1.
CREATE TEMP TABLE evidence (
  rank INTEGER, part INTEGER, layer TEXT, text TEXT, metric TEXT, value TEXT, relation TEXT,
  threshold TEXT, samples INTEGER, witnesses INTEGER
);
-- The longest events that a part rests on; `event_row` is the rowid in `events`.
CREATE TEMP TABLE witnesses (
  rank INTEGER, part INTEGER, layer TEXT, op TEXT, tid INTEGER, thread TEXT, start_ns INTEGER,
  end_ns INTEGER, dur_ns INTEGER, detail TEXT, event_row INTEGER
);
-- What every rule came to: fired, quiet, not_applicable or unknown.
CREATE TEMP TABLE rules (id TEXT, name TEXT, title TEXT, file TEXT, status TEXT, reason TEXT);

-- Who ran. A process id can have several lives.
CREATE TEMP TABLE processes (
  node TEXT, pid INTEGER, life INTEGER, name TEXT, start_ns INTEGER, end_ns INTEGER,
  parent_pid INTEGER, first_gpu_ns INTEGER, last_gpu_ns INTEGER, steady_from_ns INTEGER
);
CREATE TEMP TABLE threads (node TEXT, pid INTEGER, life INTEGER, tid INTEGER, name TEXT);
-- Requests, from annotations.
CREATE TEMP TABLE requests (
  node TEXT, pid INTEGER, process TEXT, id TEXT, start_ns INTEGER, end_ns INTEGER, dur_ns INTEGER,
  first_token_ns INTEGER, wait_ns INTEGER, prompt_tokens INTEGER, output_tokens INTEGER,
  choices INTEGER, logprobs INTEGER
);
-- Other intervals that no single row holds: annotated steps, programs, warm-up, XIDs.
CREATE TEMP TABLE spans (
  node TEXT, pid INTEGER, process TEXT, source TEXT, op TEXT, name TEXT, start_ns INTEGER,
  end_ns INTEGER, dur_ns INTEGER
);
