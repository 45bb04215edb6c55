//! Takes out of a part of a trace what says whose machine it was recorded on.
//!
//! Names become numbered words, the same one for the same name, so that the trace is judged as before
//! as far as rules do not ask for names. Free texts go. What a table that this program does not know
//! holds cannot be vouched for, and goes, too.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::trace::derive::life::is_compiler;

/// Columns that stand for one kind of name, and the word that a name becomes, with a number.
const NAMES: [(&str, &[(&str, &str)]); 2] = [
    (
        "node",
        &[("events", "node"), ("sessions", "node"), ("causal_chains", "node")],
    ),
    (
        "name",
        &[("process_names", "name"), ("tasks", "comm"), ("events", "comm")],
    ),
];
/// Paths of files, whose folders become words; the last part stays, it is that of a library.
const FILES: (&str, &str) = ("recording_probes", "target");
/// Paths of cgroups, each part of which becomes a word.
const CGROUPS: [(&str, &str); 2] = [("cgroup_cpu", "cgroup_path"), ("cgroup_metadata", "cgroup_path")];
/// Columns of free text.
const TEXTS: [(&str, &str); 10] = [
    ("events", "stack_ips"),
    ("stack_traces", "ips"),
    ("stack_traces", "frames"),
    ("sessions", "pid_filter"),
    ("cgroup_metadata", "container_id"),
    ("cgroup_metadata", "pod_name"),
    ("cgroup_metadata", "namespace"),
    ("recording_probes", "reason"),
    ("xids", "message"),
    ("truth", "note"),
];
/// Tables that say nothing without their texts.
const DROPPED: [&str; 1] = ["causal_chains"];
/// Tables without anything but numbers and words of the formats.
const HARMLESS: [&str; 20] = [
    "annotations",
    "call_details",
    "cgroup_schedstat",
    "clock_offsets",
    "event_aggregates",
    "event_aggregates_5s",
    "nccl_calls",
    "open_calls",
    "ops",
    "page_allocs",
    "recording",
    "recording_histograms",
    "recording_losses",
    "recording_thresholds",
    "sched_details",
    "schema_info",
    "slice_cuts",
    "slices",
    "sources",
    "system_snapshots",
];
/// Programs and threads that rules and the reader know by name, beside the compilers.
const KNOWN: [&str; 6] = [
    "dcgmi",
    "nvidia-smi",
    "pt_data_pin",
    "pt_data_worker",
    "python",
    "python3",
];

/// Makes `main` anonymous.
pub(super) fn anonymise(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("CREATE TEMP TABLE renamed(old TEXT PRIMARY KEY, new TEXT);")?;
    for table in tables(conn)? {
        let known = HARMLESS.contains(&table.as_str())
            || matches!(table.as_str(), "whole_aggregates" | "whole_aggregates_5s")
            || columns().any(|(t, _)| t == table) && !DROPPED.contains(&table.as_str());
        if !known {
            conn.execute_batch(&format!("DELETE FROM main.{}", super::quote(&table)))?;
        }
    }
    for (word, of) in NAMES {
        let old = distinct(conn, of)?;
        let new = numbered(word, old.iter().map(String::as_str).filter(|n| !stays(n)));
        if word == "node" {
            rename_ids(conn, &new)?;
        }
        rename(conn, of, &new)?;
    }
    let old = distinct(conn, &[FILES])?;
    let folders = numbered("folder", old.iter().filter_map(|p| p.rsplit_once('/')).map(|p| p.0));
    let in_folder = |path: &String| {
        let (folder, file) = path.rsplit_once('/')?;
        Some((path.clone(), format!("{}/{file}", folders.get(folder)?)))
    };
    rename(conn, &[FILES], &old.iter().filter_map(in_folder).collect())?;
    let old = distinct(conn, &CGROUPS)?;
    let parts = numbered("group", old.iter().flat_map(|p| p.split('/')).filter(|p| !p.is_empty()));
    let in_groups = |path: &String| {
        let new: Vec<&str> = path
            .split('/')
            .map(|p| parts.get(p).map_or("", String::as_str))
            .collect();
        (path.clone(), new.join("/"))
    };
    rename(conn, &CGROUPS, &old.iter().map(in_groups).collect())?;
    for (table, column) in TEXTS {
        if has(conn, table, column)? {
            conn.execute_batch(&format!("UPDATE main.{table} SET {column}='' WHERE {column}!=''"))?;
        }
    }
    if has(conn, "recording", "value")? {
        conn.execute_batch("UPDATE main.recording SET value='' WHERE key='command'")?;
    }
    if has(conn, "events", "arg0")? {
        // The addresses of a connection.
        conn.execute_batch("UPDATE main.events SET arg0=0, arg1=0 WHERE source=6")?;
    }
    labels(conn)?;
    conn.execute_batch("DROP TABLE temp.renamed")
}

/// Every column that is changed.
fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    let names = NAMES.iter().flat_map(|(_, of)| of.iter().copied());
    names.chain(CGROUPS).chain(TEXTS).chain([FILES])
}

fn tables(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    statement.query_map([], |r| r.get(0))?.collect()
}

fn has(conn: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1, 'main') WHERE name=?2";
    conn.query_row(sql, [table, column], |r| Ok(r.get::<_, i64>(0)? > 0))
}

/// Different texts of some columns, in order.
fn distinct(conn: &Connection, of: &[(&str, &str)]) -> rusqlite::Result<Vec<String>> {
    let mut out = Vec::new();
    for (table, column) in of {
        if has(conn, table, column)? {
            let mut statement = conn.prepare(&format!(
                "SELECT DISTINCT CAST({column} AS TEXT) FROM main.{table} WHERE {column} != ''"
            ))?;
            for text in statement.query_map([], |r| r.get(0))? {
                out.push(text?);
            }
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}

fn stays(name: &str) -> bool {
    KNOWN.contains(&name) || is_compiler(name)
}

/// `name-1`, `name-2`, …: for each old text a word that no old text begins with.
fn numbered<'a>(word: &str, old: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<String, String> {
    let mut prefix = format!("{word}-");
    while old.clone().any(|o| o.starts_with(&prefix)) {
        prefix.push('-');
    }
    let mut out: BTreeMap<String, String> = old.map(|o| (o.to_owned(), String::new())).collect();
    for (n, new) in out.values_mut().enumerate() {
        *new = format!("{prefix}{}", n + 1);
    }
    out
}

fn rename(conn: &Connection, of: &[(&str, &str)], new: &BTreeMap<String, String>) -> rusqlite::Result<()> {
    conn.execute_batch("DELETE FROM temp.renamed")?;
    for (old, new) in new {
        conn.execute("INSERT INTO temp.renamed VALUES (?1, ?2)", [old, new])?;
    }
    for (table, column) in of {
        if has(conn, table, column)? {
            conn.execute_batch(&format!(
                "UPDATE main.{table} SET {column}=new FROM temp.renamed WHERE old={column}"
            ))?;
        }
    }
    Ok(())
}

/// Ids of events begin with the name of their node.
fn rename_ids(conn: &Connection, nodes: &BTreeMap<String, String>) -> rusqlite::Result<()> {
    for (old, new) in nodes {
        conn.execute(
            "UPDATE main.events SET id=?2||substr(id,length(?1)+1) WHERE substr(id,1,length(?1)+1)=?1||':'",
            params![old, new],
        )?;
    }
    Ok(())
}

/// Of labels the names stay, and values that are numbers.
fn labels(conn: &Connection) -> rusqlite::Result<()> {
    if !has(conn, "annotations", "labels")? {
        return Ok(());
    }
    let old = distinct(conn, &[("annotations", "labels")])?;
    let parsed: Vec<(String, BTreeMap<String, String>)> = old
        .into_iter()
        .map(|text| {
            let labels = serde_json::from_str(&text).unwrap_or_default();
            (text, labels)
        })
        .collect();
    let is_text = |v: &&str| v.parse::<f64>().is_err();
    let values = numbered(
        "value",
        parsed
            .iter()
            .flat_map(|(_, l)| l.values())
            .map(String::as_str)
            .filter(is_text),
    );
    let new = parsed.into_iter().map(|(text, mut labels)| {
        for v in labels.values_mut() {
            if let Some(new) = values.get(v) {
                v.clone_from(new);
            }
        }
        (text, serde_json::to_string(&labels).unwrap_or_default())
    });
    rename(conn, &[("annotations", "labels")], &new.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_words_are_no_old_ones() {
        let new = numbered("node", ["b", "a", "node-1", "a"].into_iter());
        let expected = [("a", "node--1"), ("b", "node--2"), ("node-1", "node--3")];
        assert!(new.iter().map(|(a, b)| (a.as_str(), b.as_str())).eq(expected));
    }

    #[test]
    fn every_column_is_one_of_the_schema() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../schema.sql")).unwrap();
        conn.execute_batch(include_str!("slice.sql")).unwrap();
        for (table, column) in columns() {
            assert!(has(&conn, table, column).unwrap(), "{table}.{column}");
        }
        for table in HARMLESS.iter().chain(&DROPPED) {
            assert!(tables(&conn).unwrap().iter().any(|t| t == table), "{table}");
        }
    }
}
