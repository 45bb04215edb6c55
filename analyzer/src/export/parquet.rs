//! Parquet: one row for each event, stored or derived by the reader, sorted by process, thread and
//! operation, then by time. The columns are those of `row::COLUMNS`; the footer holds the report as
//! JSON under the key `ingero.report`.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, TimestampType, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::trace::Trace;
use crate::trace::row::{COLUMNS, Column, Get};

/// Rows of a row group: what is in memory at a time.
const GROUP: usize = 1 << 17;

/// Writes a trace, and a report as JSON into the footer.
///
/// # Errors
/// Whatever writing to `out` gives, as Parquet's error.
pub fn write(trace: &Trace, report: &str, out: impl Write + Send) -> Result<()> {
    let meta = [("ingero.version", env!("CARGO_PKG_VERSION")), ("ingero.report", report)];
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("ingero {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(
            meta.into_iter()
                .map(|(k, v)| KeyValue::new(k.to_owned(), v.to_owned()))
                .collect(),
        ))
        .build();
    let mut file = SerializedFileWriter::new(out, schema()?, Arc::new(properties))?;
    let mut places = (0..trace.lanes.len()).flat_map(|l| (0..trace.lanes[l].len()).map(move |i| (l, i)));
    loop {
        let rows: Vec<(usize, usize)> = places.by_ref().take(GROUP).collect();
        if rows.is_empty() {
            break;
        }
        let mut group = file.next_row_group()?;
        for column in COLUMNS {
            write_column(&mut group, trace, column, &rows)?;
        }
        group.close()?;
    }
    file.close()?;
    Ok(())
}

/// Every column may be null.
fn schema() -> Result<TypePtr> {
    let field = |c: &Column| -> Result<TypePtr> {
        let (physical, logical) = match c.get {
            // Instants end in `_ns` and are not lengths.
            Get::Int(_) if ["start_ns", "end_ns", "runnable_ns"].contains(&c.name) => (
                Physical::INT64,
                Some(LogicalType::Timestamp(TimestampType {
                    is_adjusted_to_u_t_c: true,
                    unit: TimeUnit::NANOS,
                })),
            ),
            Get::Int(_) => (Physical::INT64, None),
            Get::Flag(_) => (Physical::BOOLEAN, None),
            Get::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(c.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()?;
        Ok(Arc::new(field))
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Type::group_type_builder("event").with_fields(fields).build()?))
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    trace: &Trace,
    column: &Column,
    rows: &[(usize, usize)],
) -> Result<()> {
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General(format!(
            "no place for the column {}",
            column.name
        )));
    };
    let lane = |l: usize| &trace.lanes[l];
    match column.get {
        Get::Int(get) => {
            let (values, levels) = split(rows.iter().map(|&(l, i)| get(trace, lane(l), i)));
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Get::Flag(get) => {
            let (values, levels) = split(rows.iter().map(|&(l, i)| get(trace, lane(l), i)));
            writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
        Get::Text(get) => {
            let texts = rows.iter().map(|&(l, i)| get(trace, lane(l), i).map(ByteArray::from));
            let (values, levels) = split(texts);
            writer
                .typed::<ByteArrayType>()
                .write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}

/// The values that there are, and for each row whether there is one.
fn split<T>(all: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for value in all {
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    (values, levels)
}
