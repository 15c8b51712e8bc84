//! Which columns of a file are worth a codec, as its rows tell. Each column with a codec has contexts of its own, which
//! cost as much for ten rows as for a million: where processors are virtual, about as much as a hundred rows.

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, RecordBatch, StructArray};
use arrow_schema::DataType;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Bytes of values for which a codec saves too little to be worth its contexts.
const SMALL: usize = 4 << 10;
/// Different values by which the places in a dictionary are small.
const FEW: usize = 8;

/// `properties` for a file whose only rows are `rows`: without a codec where it would save next to nothing.
pub(super) fn where_it_pays(properties: &WriterProperties, rows: &RecordBatch) -> WriterProperties {
    let mut leaves = Vec::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        find_leaves(vec![field.name().clone()], column, &mut leaves);
    }
    let mut builder = properties.clone().into_builder();
    for (path, values) in leaves {
        if is_small(values, properties.dictionary_enabled(&path)) {
            builder = builder.set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    builder.build()
}

/// The columns that Parquet makes of one, by their paths in its schema.
fn find_leaves<'a>(path: Vec<String>, column: &'a ArrayRef, leaves: &mut Vec<(ColumnPath, &'a ArrayRef)>) {
    let (parts, entries): (&[&str], &StructArray) = match column.data_type() {
        DataType::Map(entries, _) => (&[entries.name()], column.as_map().entries()),
        DataType::List(element) => (&["list", element.name()], column.as_list::<i32>().values().as_struct()),
        _ => return leaves.push((ColumnPath::new(path), column)),
    };
    for (field, column) in entries.fields().iter().zip(entries.columns()) {
        let parts = parts.iter().copied().chain([field.name().as_str()]).map(str::to_owned);
        find_leaves(path.iter().cloned().chain(parts).collect(), column, leaves);
    }
}

fn is_small(column: &ArrayRef, dictionary: bool) -> bool {
    let (ends, bytes): (&[i32], &[u8]) = match column.data_type() {
        DataType::Utf8 => (column.as_string::<i32>().value_offsets(), column.as_string::<i32>().value_data()),
        DataType::Binary => (column.as_binary::<i32>().value_offsets(), column.as_binary::<i32>().value_data()),
        _ => return (column.len() - column.null_count()) * size_of::<i64>() <= SMALL,
    };
    bytes.len() <= SMALL || (dictionary && are_few(ends, bytes))
}

/// True when a dictionary of the values is small, and the places in it are.
fn are_few(ends: &[i32], bytes: &[u8]) -> bool {
    let mut found: Vec<&[u8]> = Vec::with_capacity(FEW);
    for ends in ends.windows(2) {
        let value = &bytes[ends[0] as usize..ends[1] as usize];
        if !found.contains(&value) {
            if found.len() == FEW {
                return false;
            }
            found.push(value);
        }
    }
    found.iter().map(|value| value.len()).sum::<usize>() <= SMALL
}
