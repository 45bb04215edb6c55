-- What a part of a trace says of the whole it was cut from. Only in files made by `ingero slice`.

-- One row for each time it was cut. Events are kept whole if they reach into the window; all that
-- happened within it is there, as far as the original had it.
CREATE TABLE IF NOT EXISTS slices (
  from_ns     INTEGER NOT NULL,
  to_ns       INTEGER NOT NULL,
  rows_before INTEGER NOT NULL,              -- rows of `events`
  rows_kept   INTEGER NOT NULL,
  lost_before INTEGER NOT NULL               -- sum of `recording_losses`, which keeps those of the window
);

-- Rows of the original by what they are, and how many of them are left.
CREATE TABLE IF NOT EXISTS slice_cuts (
  source      INTEGER NOT NULL,
  op          INTEGER NOT NULL,
  rows_before INTEGER NOT NULL,
  rows_kept   INTEGER NOT NULL,
  PRIMARY KEY (source, op)
);
