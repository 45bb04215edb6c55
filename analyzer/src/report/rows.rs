//! Rows of an answer to a query: a table for people, JSON, CSV.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde_json::{Map, Number, Value as Json, json};
use unicode_width::UnicodeWidthStr;

use super::paint::{Page, Style, clean};
use crate::trace::query::{QueryRows, Value};

/// A table with narrower columns than this is written record by record instead.
const NARROWEST: usize = 12;

/// How wide a table may be, and with which characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOptions {
    /// Columns of the terminal; `None` where lines may be of any length.
    pub width: Option<usize>,
    /// With colour.
    pub color: bool,
    /// Only ASCII.
    pub ascii: bool,
}

/// A table, or where the terminal is too narrow for its columns, one record after the other.
pub fn table(rows: &QueryRows, options: RowOptions) -> String {
    let mut page = Page::new(options.width.unwrap_or(usize::MAX), options.color, options.ascii);
    let cells: Vec<Vec<String>> = rows
        .rows
        .iter()
        .map(|r| r.iter().map(|v| page.clean(&shown(v))).collect())
        .collect();
    let heads: Vec<String> = rows.columns.iter().map(|c| page.clean(c)).collect();
    let natural = |i: usize| {
        cells
            .iter()
            .map(|r| r[i].width())
            .max()
            .unwrap_or(0)
            .max(heads[i].width())
    };
    let gaps = heads.len().saturating_sub(1) * 2;
    let needed = (0..heads.len()).map(natural).sum::<usize>() + gaps;
    let room = options.width.unwrap_or(usize::MAX);
    if needed > room && heads.len() * NARROWEST + gaps > room {
        records(&mut page, &heads, &cells);
        return page.finish();
    }
    let mut out = Table::new();
    let rule = if options.ascii { '-' } else { '─' };
    out.load_style(TableStyle::new().header_separator(LineStyle::none().fill(rule)));
    if needed > room {
        out.set_content_arrangement(ContentArrangement::Dynamic);
        out.set_width(u16::try_from(room).unwrap_or(u16::MAX));
    }
    out.set_header(&heads);
    for row in &cells {
        out.add_row(row);
    }
    for i in 0..heads.len() {
        let Some(column) = out.column_mut(i) else { continue };
        let last = i + 1 == heads.len();
        column.set_padding((0, if last { 0 } else { 2 }));
        let number = |r: &Vec<Value>| matches!(r[i], Value::Integer(_) | Value::Real(_) | Value::Null);
        if !rows.rows.is_empty() && rows.rows.iter().all(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for (i, line) in out.lines().enumerate() {
        let style = if i == 0 { Style::Strong } else { Style::Plain };
        page.line(&[(line.trim_end(), style)]);
    }
    page.finish()
}

fn records(page: &mut Page, heads: &[String], cells: &[Vec<String>]) {
    let label = heads.iter().map(|h| h.width()).max().unwrap_or(0);
    for (n, row) in cells.iter().enumerate() {
        page.blank();
        page.line(&[(&format!("row {}", n + 1), Style::Strong)]);
        for (head, cell) in heads.iter().zip(row) {
            let pad = " ".repeat(label - head.width() + 2);
            page.hang(
                &[("  ", Style::Plain), (head, Style::Dim), (&pad, Style::Plain)],
                label + 4,
                cell,
                Style::Plain,
            );
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => r.to_string(),
        Value::Text(t) => clean(t).replace('\n', "\u{21b5}"),
        Value::Blob(b) => format!("x'{}'", hex(b)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// A value as JSON: blobs are `{"hex": …}`, numbers that JSON lacks are texts.
pub fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(i) => json!(i),
        Value::Real(r) => Number::from_f64(*r).map_or_else(|| json!(r.to_string()), Json::Number),
        Value::Text(t) => json!(t),
        Value::Blob(b) => json!({ "hex": hex(b) }),
    }
}

/// An array of objects, one a line. Of columns with one name, the later ones get a number.
pub fn json(rows: &QueryRows) -> String {
    let mut names: Vec<String> = Vec::new();
    for column in &rows.columns {
        let mut name = column.clone();
        let mut n = 2;
        while names.contains(&name) {
            name = format!("{column}:{n}");
            n += 1;
        }
        names.push(name);
    }
    let objects = rows.rows.iter().map(|row| {
        let object: Map<String, Json> = names.iter().cloned().zip(row.iter().map(value)).collect();
        Json::Object(object).to_string()
    });
    format!("[{}]\n", objects.collect::<Vec<_>>().join(",\n "))
}

/// RFC 4180 with a line of names; line feeds end lines, a null is an empty field.
pub fn csv(rows: &QueryRows) -> String {
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells
            .map(|c| {
                if c.contains(['"', ',', '\n', '\r']) {
                    format!("\"{}\"", c.replace('"', "\"\""))
                } else {
                    c
                }
            })
            .collect();
        out.push_str(&cells.join(","));
        out.push('\n');
    };
    line(&mut rows.columns.iter().cloned());
    for row in &rows.rows {
        line(&mut row.iter().map(|v| match v {
            Value::Null => String::new(),
            Value::Text(t) => t.clone(),
            other => shown(other),
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> QueryRows {
        QueryRows {
            columns: vec!["op".to_owned(), "n".to_owned(), "n".to_owned()],
            rows: vec![
                vec![
                    Value::Text("a,\"b\"\u{1b}[31m".to_owned()),
                    Value::Integer(7),
                    Value::Null,
                ],
                vec![Value::Blob(vec![1, 255]), Value::Real(0.5), Value::Real(f64::NAN)],
            ],
            more: false,
        }
    }

    #[test]
    fn every_type_has_a_form_in_every_format() {
        assert_eq!(
            json(&some()),
            "[{\"n\":7,\"n:2\":null,\"op\":\"a,\\\"b\\\"\\u001b[31m\"},\n {\"n\":0.5,\"n:2\":\"NaN\",\"op\":{\"hex\":\"01ff\"}}]\n"
        );
        assert_eq!(csv(&some()), "op,n,n\n\"a,\"\"b\"\"\u{1b}[31m\",7,\nx'01ff',0.5,NaN\n");
    }

    #[test]
    fn a_table_fits_or_becomes_records() {
        let options = |width| RowOptions {
            width,
            color: false,
            ascii: true,
        };
        let wide = table(&some(), options(None));
        assert!(!wide.contains('\u{1b}'), "{wide}");
        assert_eq!(wide.lines().count(), 4);
        let narrow = table(&some(), options(Some(20)));
        assert!(narrow.starts_with("row 1\n"), "{narrow}");
        assert!(narrow.lines().all(|l| l.width() <= 20), "{narrow}");
    }
}
