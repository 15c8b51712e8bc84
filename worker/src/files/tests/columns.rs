//! Extension attributes with columns of their own, and the same rows in both formats.

use super::*;

fn with_columns(format: Format) -> Rules {
    Rules { format, columns: vec!["tenant".into(), "b".into()], ..Rules::default() }
}

/// The columns of [`varied_rows`] beyond the fixed ones: `b` is in the first row, nobody has `tenant`.
#[test]
fn a_column_holds_the_attribute_of_each_event_and_null_where_it_is_absent() {
    for format in [Format::Parquet, Format::Avro] {
        let file = encode_under(with_columns(format), Encoding::default(), &varied_rows()).remove(0);
        let names: Vec<String> =
            read(&file.body)[0].schema().fields().iter().skip(17).map(|field| field.name().clone()).collect();
        assert_eq!(names, ["kafka_headers", "tenant", "b"]);
        let lines = lines(&file.body);
        assert!(lines[0].ends_with(r#" | null | "2""#), "{}", lines[0]);
        assert!(lines[0].contains(r#"["b"="2", "a"=""]"#), "it stays in the map: {}", lines[0]);
        assert!(lines[1..].iter().all(|line| line.ends_with(" | null | null")), "{lines:#?}");
    }
}

#[test]
fn parquet_keeps_such_columns_as_texts_in_dictionaries() {
    let file = encode_under(with_columns(Format::Parquet), Encoding::default(), &varied_rows()).remove(0);
    let own = "  OPTIONAL BYTE_ARRAY tenant (STRING);\n  OPTIONAL BYTE_ARRAY b (STRING);\n}\n";
    assert_eq!(schema_text(&file.body), format!("{}{own}", ROWS_SCHEMA.strip_suffix("}\n").unwrap()));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file.body).unwrap();
    let last = metadata.row_group(0).columns().last().unwrap();
    assert!(last.dictionary_page_offset().is_some());
}

#[test]
fn dead_letters_have_no_such_columns() {
    let [plain, with] = [Rules::default(), with_columns(Format::Parquet)].map(dead_file_under);
    assert_eq!(schema_text(&with.body), schema_text(&plain.body));
    assert_eq!(with.plan, plain.plan);
}

#[test]
fn the_columns_and_their_order_are_part_of_the_row_digest() {
    let digest = |columns: &[&str]| {
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        let rules = Rules { columns, ..Rules::default() };
        encode_under(rules, Encoding::default(), &varied_rows())[0].plan.digest.clone()
    };
    let digests = [digest(&[]), digest(&["tenant"]), digest(&["a"]), digest(&["a", "b"]), digest(&["b", "a"])];
    assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), digests.len());
}

#[test]
fn the_same_rows_have_the_same_digest_in_both_formats_however_they_look() {
    for seed in 1..40 {
        let rows = random_rows(seed);
        let [parquet, avro] = [Format::Parquet, Format::Avro].map(|format| {
            let file = encode_under(with_columns(format), Encoding::default(), &rows).remove(0);
            let found = read_rows(file.body.clone()).unwrap();
            assert_eq!((found.digest, found.rows), (file.plan.digest, file.plan.rows), "seed {seed}, {format}");
            lines(&file.body)
        });
        assert_eq!(parquet, avro, "seed {seed}");
    }
}
