//! What a file says of itself, and objects that lie.

use std::sync::Arc;

use super::*;

#[test]
fn an_empty_file_has_the_columns_and_says_that_it_is_incomplete() {
    let (_, plan) = plan_of_two_versions();
    let rules = Arc::new(Rules::default());
    let body = empty_file(&plan[0], &identity(), &rules, Encoding::default(), &close()).unwrap();
    assert_eq!(schema_text(&body), ROWS_SCHEMA);
    let footer = footer_of(&body);
    assert!(footer.incomplete);
    assert_eq!((footer.rows, footer.parquet_rows, footer.first, footer.last), (0, Some(0), 0, 4));
}

#[test]
fn a_file_tells_everything_about_itself() {
    let file = encode(Encoding::default(), &varied_rows()).remove(0);
    assert_eq!(
        footer_of(&file.body),
        Footer {
            version: env!("CARGO_PKG_VERSION").into(),
            identity: (*identity()).clone(),
            cut_from: 0,
            cut_to: 1_000_000,
            nonce: "nonce-1".into(),
            first: 10,
            last: 15,
            rows: 5,
            parquet_rows: Some(5),
            digest: file.plan.digest,
            rules: Rules::default().digest(),
            schema_version: Some("v1".into()),
            dt: "2025-12-21".into(),
            kind: FileKind::Rows,
            decoder_version: 1,
            incomplete: false,
        }
    );
}

#[test]
fn a_tail_that_is_too_short_says_how_much_it_needs() {
    let body = dead_file().body;
    let size = body.len() as u64;
    let Err(TailError::NeedMore(needed)) = read_footer(Format::Parquet, &body[body.len() - 8..], size) else {
        panic!("eight bytes cannot hold a footer");
    };
    let start = body.len() - needed as usize;
    assert!(read_footer(Format::Parquet, &body[start..], size).is_ok());
    assert_eq!(read_footer(Format::Parquet, &body[start + 1..], size), Err(TailError::NeedMore(needed)));
}

#[test]
fn a_tail_of_less_than_eight_bytes_asks_for_more() {
    assert_eq!(read_footer(Format::Parquet, b"PAR1", 1000), Err(TailError::NeedMore(1000)));
}

#[test]
fn every_truncation_is_seen() {
    let body = dead_file().body;
    for size in 0..body.len() {
        let seen = read_footer(Format::Parquet, &body[..size], size as u64);
        assert!(matches!(seen, Err(TailError::Damaged(_))), "cut at {size}: {seen:?}");
    }
}

#[test]
fn hostile_footers_never_panic() {
    let body = dead_file().body.to_vec();
    for at in body.len() - 2000..body.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = body.clone();
            bytes[at] ^= flip;
            let _ = read_footer(Format::Parquet, &bytes, bytes.len() as u64);
        }
    }
}

#[test]
fn a_parquet_file_of_another_program_is_not_taken_for_ours() {
    let schema = schema::dead_letters();
    let writer = ::parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    let body = writer.into_inner().unwrap();
    assert_eq!(
        read_footer(Format::Parquet, &body, body.len() as u64),
        Err(TailError::Damaged("its footer has no `eventsink.kind`".into()))
    );
}

#[test]
fn a_dead_letter_file_has_no_schema_version() {
    let footer = footer_of(&dead_file().body);
    assert_eq!((footer.kind, footer.schema_version), (FileKind::DeadLetters, None));
}

#[test]
fn a_footer_that_claims_more_than_the_object_is_damage_and_never_asks_for_more() {
    let mut tail = vec![0; 100];
    tail.extend(u32::MAX.to_le_bytes());
    tail.extend(b"PAR1");
    assert!(matches!(read_footer(Format::Parquet, &tail, 5000), Err(TailError::Damaged(_))));
}
