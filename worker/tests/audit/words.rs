//! Each damage in the words that users see: one line of the verb's output, with the file and what is in it.

use super::bucket::{Bucket, Cut, Row};
use super::deep::rewrite;

const FILE: &str = "user-events/v1/dt=2025-12-21/pid=0/20251221_100000_offset6_count4.parquet";
const MANIFEST: &str = "_eventsink/user-events/kE3x/0/cuts/9223372036854775801.json";
const FOLDER: &str = "dt=2025-12-21/pid=1/20251221_100000";
const BACKUP: &str = "restore it from a backup or the bucket's older versions";

/// The findings that the verb prints of a bucket damaged in this way.
async fn told(deep: bool, damage: impl FnOnce(&Bucket, &[Cut])) -> Vec<String> {
    let (bucket, cuts) = Bucket::healthy().await;
    damage(&bucket, &cuts);
    let output = super::run(&bucket, bucket.path("").to_str().unwrap(), if deep { &["--deep"] } else { &[] });
    assert_eq!(output.status.code(), Some(1));
    let told = super::text(&output.stdout);
    told.lines().filter_map(|line| line.strip_prefix("finding: ")).map(str::to_owned).collect()
}

fn put(bucket: &Bucket, key: &str, body: &[u8]) {
    let path = bucket.path(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, body).unwrap();
}

#[tokio::test]
async fn a_deleted_file() {
    let told = told(false, |bucket, cuts| bucket.delete(cuts[1].file(0))).await;
    assert_eq!(told, [format!("{FILE}: not there: {MANIFEST} plans it with 4 rows of offsets 6 to 9; {BACKUP}")]);
}

#[tokio::test]
async fn a_deleted_tip() {
    let told = told(false, |bucket, cuts| bucket.delete(&cuts[3].key())).await;
    assert_eq!(told, ["_dlq/user-events", "user-events/v1"].map(|folder| {
        let offset = if folder.starts_with("_dlq") { 7 } else { 8 };
        format!(
            "{folder}/{FOLDER}_offset{offset}_count1.parquet: names manifest nonce-1-5 of offsets 5..9, which is not in \
             the ledger; the manifest was deleted: {BACKUP}"
        )
    }));
}

#[tokio::test]
async fn a_truncated_file() {
    let told = told(false, |bucket, cuts| {
        let body = &cuts[1].files[0].body;
        bucket.overwrite(cuts[1].file(0), &body[..body.len() - 20]);
    })
    .await;
    assert_eq!(
        told,
        [format!(
            "{FILE}: not a whole file of eventsink: it does not end as a Parquet file does, so it was cut short or is \
         another format; {MANIFEST} plans it with 4 rows; {BACKUP}"
        )]
    );
}

#[tokio::test]
async fn a_copied_file() {
    let told = told(false, |bucket, cuts| put(bucket, "user-events/v1/copy.parquet", &cuts[1].files[0].body)).await;
    assert_eq!(
        told,
        [format!("user-events/v1/copy.parquet: is a copy of {FILE}: its 4 rows are there twice; delete the copy")]
    );
}

#[tokio::test]
async fn a_file_of_another_sink() {
    let theirs = Bucket::of("ledger-2").await.plan(0, &[Row("v9")]);
    let told = told(false, |bucket, _| put(bucket, theirs.file(0), &theirs.files[0].body)).await;
    assert_eq!(
        told,
        [format!(
            "{}: is a file of another sink: orders (ledger ledger-2, topic user-events); move it away and give each sink a \
         base path of its own",
            theirs.file(0)
        )]
    );
}

#[tokio::test]
async fn a_missing_manifest() {
    let told = told(false, |bucket, cuts| bucket.delete(&cuts[1].key())).await;
    assert_eq!(
        told,
        [
            format!(
                "{MANIFEST}: not there: offsets 6..10 are in no manifest, since manifest nonce-0-0 ends at 6 and the next \
             manifest, _eventsink/user-events/kE3x/0/cuts/9223372036854775797.json, starts at 10; restore it as it was \
             written, from a backup or the bucket's older versions"
            ),
            format!(
                "{FILE}: names manifest nonce-0-6 of offsets 6..10, which is not in the ledger; the manifest was deleted: \
             {BACKUP}"
            ),
        ]
    );
}

#[tokio::test]
async fn a_row_taken_out_of_a_file() {
    let told = told(true, |bucket, cuts| rewrite(bucket, cuts[1].file(0), &[0, 1, 3])).await;
    assert_eq!(
        told,
        [format!(
            "{FILE}: is not the file that {MANIFEST} plans: it says 4 rows and Parquet counts 3; move it away and restore \
         the planned one from a backup or the bucket's older versions"
        )]
    );
}

#[tokio::test]
async fn a_row_in_place_of_another() {
    let told = told(true, |bucket, cuts| rewrite(bucket, cuts[1].file(0), &[0, 1, 1, 3])).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let words = told[0].strip_prefix(&format!("{FILE}: its row digest is ")).unwrap_or_else(|| panic!("{told:?}"));
    assert!(words.ends_with(&format!("; {MANIFEST} plans it with 4 rows; {BACKUP}")), "{words}");
}
