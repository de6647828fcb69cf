//! The minutes as an Apache Parquet file: one row group, no compression, no dictionary.

use super::{CREATED_BY, ReportError, Results};
use crate::field::Minute;
use parquet::basic::Compression;
use parquet::data_type::{DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fmt::Write;
use std::sync::Arc;

/// Column of the instants: end of the minute, UTC.
pub(super) const AT: &str = "at";
/// Column of the loading without flexibility; null where only the run with flexibility has the minute.
pub(super) const LOADING_WITHOUT: &str = "transformer_loading_without_flexibility";

type Value = fn(&Minute) -> f64;

/// The columns that every minute has, in the file's order after [`AT`]; [`LOADING_WITHOUT`] comes last.
pub(super) const COLUMNS: [(&str, Value); 9] = [
    ("transformer_loading", |minute| minute.transformer_loading),
    ("line_loading_max", |minute| minute.line_loading_max),
    ("u_min_pu", |minute| minute.u_min_pu),
    ("u_max_pu", |minute| minute.u_max_pu),
    ("p_household_w", |minute| minute.power.household_w),
    ("p_charger_w", |minute| minute.power.charger_w),
    ("p_heat_pump_w", |minute| minute.power.heat_pump_w),
    ("p_battery_w", |minute| minute.power.battery_w),
    ("p_photovoltaic_w", |minute| minute.power.photovoltaic_w),
];

/// The file's bytes.
pub(super) fn minutes(results: &Results<'_>) -> Result<Vec<u8>, ReportError> {
    let schema = Arc::new(parse_message_type(&schema())?);
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(provenance(results)))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut rows = writer.next_row_group()?;

    // Milliseconds: every reader knows them, and minutes end on whole seconds.
    let ends: Vec<i64> =
        results.minutes.iter().map(|minute| minute.at.nanos().div_euclid(1_000_000)).collect();
    let mut column = next(&mut rows)?;
    column.typed::<Int64Type>().write_batch(&ends, None, None)?;
    column.close()?;
    for (_, value_of) in COLUMNS {
        let values: Vec<f64> = results.minutes.iter().map(value_of).collect();
        let mut column = next(&mut rows)?;
        column.typed::<DoubleType>().write_batch(&values, None, None)?;
        column.close()?;
    }
    let (values, present) = loading_without(results);
    let mut column = next(&mut rows)?;
    column.typed::<DoubleType>().write_batch(&values, Some(&present), None)?;
    column.close()?;

    rows.close()?;
    Ok(writer.into_inner()?)
}

fn schema() -> String {
    let mut schema = format!("message minute {{ required int64 {AT} (TIMESTAMP(MILLIS,true));");
    for (name, _) in COLUMNS {
        // Writing to a string cannot fail.
        let _ = write!(schema, " required double {name};");
    }
    let _ = write!(schema, " optional double {LOADING_WITHOUT}; }}");
    schema
}

/// Where the rows come from, for whoever meets the file alone.
fn provenance(results: &Results<'_>) -> Vec<KeyValue> {
    let outcome = results.outcome;
    let mut pairs = vec![
        KeyValue::new("gridflex.scenario".to_owned(), outcome.scenario.clone()),
        KeyValue::new("gridflex.seed".to_owned(), outcome.seed.to_string()),
        KeyValue::new("gridflex.start".to_owned(), outcome.start.to_string()),
    ];
    if !results.changes.is_empty() {
        pairs.push(KeyValue::new("gridflex.changes".to_owned(), results.changes.join("\n")));
    }
    pairs
}

fn next<'a>(
    rows: &'a mut SerializedRowGroupWriter<'_, Vec<u8>>,
) -> Result<SerializedColumnWriter<'a>, ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than values".to_owned());
    rows.next_column()?.ok_or_else(missing)
}

/// The loadings that exist, and for every minute whether it has one (1) or not (0).
fn loading_without(results: &Results<'_>) -> (Vec<f64>, Vec<i16>) {
    let mut values = Vec::with_capacity(results.minutes.len());
    let found = |minute: &Minute| {
        let place = results.without.binary_search_by_key(&minute.at, |&(at, _)| at).ok()?;
        results.without.get(place).map(|&(_, loading)| loading)
    };
    let present = results.minutes.iter().map(|minute| match found(minute) {
        Some(loading) => {
            values.push(loading);
            1
        }
        None => 0,
    });
    let present = present.collect();
    (values, present)
}
