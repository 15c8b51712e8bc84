//! What only a look at every row can find: files whose footers are whole and whose rows are not those that were written.

use super::bucket::{Bucket, Cut, Row};
use bytes::Bytes;
use eventsink_worker::audit::{Depth, Finding, FindingKind, audit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

async fn findings(bucket: &Bucket, depth: Depth) -> Vec<Finding> {
    audit(&bucket.store, depth, |_, _| {}).await.findings
}

/// One finding of a deep audit that a plain one does not have.
async fn deep_finding(bucket: &Bucket) -> Finding {
    assert_eq!(findings(bucket, Depth::Footers).await, [], "the footers show nothing");
    let mut found = findings(bucket, Depth::Rows).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// Writes a file again with these of its rows, by their number, and with its own footer.
pub fn rewrite(bucket: &Bucket, key: &str, rows: &[usize]) {
    let body = Bytes::from(std::fs::read(bucket.path(key)).unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(body).unwrap();
    let footer = reader.metadata().file_metadata().key_value_metadata().cloned();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let properties = WriterProperties::builder().set_key_value_metadata(footer).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    for row in rows {
        writer.write(&batch.slice(*row, 1)).unwrap();
    }
    bucket.overwrite(key, writer.into_inner().unwrap());
}

async fn four_rows() -> (Bucket, Cut) {
    let mut bucket = Bucket::new().await;
    let cut = bucket.finish(0, &[Row("v1"); 4]).await;
    (bucket, cut)
}

#[tokio::test]
async fn a_healthy_bucket_is_green_to_its_last_row() {
    let (bucket, _) = Bucket::healthy().await;
    assert_eq!(findings(&bucket, Depth::Rows).await, []);
}

#[tokio::test]
async fn a_file_written_again_with_the_same_rows_is_as_good_as_the_first() {
    let (bucket, cut) = four_rows().await;
    rewrite(&bucket, cut.file(0), &[0, 1, 2, 3]);
    assert_eq!(findings(&bucket, Depth::Rows).await, []);
}

#[tokio::test]
async fn a_row_in_place_of_another_is_named() {
    let (bucket, cut) = four_rows().await;
    rewrite(&bucket, cut.file(0), &[0, 1, 1, 3]);
    let finding = deep_finding(&bucket).await;
    assert_eq!((finding.kind, finding.key.as_str()), (FindingKind::ChangedRows, cut.file(0)), "{finding}");
    assert!(finding.what.contains("row digest") && finding.what.contains(&cut.key()), "{finding}");
}

#[tokio::test]
async fn a_row_taken_out_is_named() {
    let (bucket, cut) = four_rows().await;
    rewrite(&bucket, cut.file(0), &[0, 1, 3]);
    let found = findings(&bucket, Depth::Rows).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].key, cut.file(0));
    assert!(found[0].what.contains("says 4 rows and Parquet counts 3"), "{}", found[0]);
}

#[tokio::test]
async fn a_damaged_page_is_named_and_ends_nothing() {
    let (bucket, cuts) = Bucket::healthy().await;
    let key = cuts[1].file(0);
    let mut body = std::fs::read(bucket.path(key)).unwrap();
    // Behind the magic number, in the first pages.
    body[4..200].fill(0xa5);
    bucket.overwrite(key, body);
    let finding = deep_finding(&bucket).await;
    assert_eq!((finding.kind, finding.key.as_str()), (FindingKind::DamagedFile, key), "{finding}");
}
