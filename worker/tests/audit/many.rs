//! A large ledger, as the worker's own encoder and store make it: nothing is found in it, and how long that takes is told.

use super::bucket::{Bucket, Cut, Dead, Row};
use futures::stream::{self, StreamExt as _};
use std::time::Instant;

const PARTITIONS: i32 = 8;
const CUTS: i32 = 250;
const FILES: usize = 10_000;

#[tokio::test]
async fn nothing_is_found_in_a_healthy_bucket_of_ten_thousand_files() {
    let mut bucket = Bucket::new().await;
    let fates = [Row("v1"), Row("v2"), Row("v3"), Row("v4"), Dead];
    let begun = Instant::now();
    let cuts: Vec<Cut> = (0..CUTS * PARTITIONS).map(|at| bucket.plan(at % PARTITIONS, &fates)).collect();
    let bucket = &bucket;
    let put = |cut| async move {
        let cut: &Cut = cut;
        bucket.put_manifest(cut).await;
        for file in &cut.files {
            bucket.put(&file.plan.key, file.body.clone()).await;
        }
    };
    stream::iter(&cuts).for_each_concurrent(64, put).await;
    println!("{FILES} files written in {:.1?}", begun.elapsed());

    let begun = Instant::now();
    let output = super::run(bucket, bucket.path("").to_str().unwrap(), &[]);
    println!("audited in {:.1?}", begun.elapsed());
    let told = super::text(&output.stdout);
    assert_eq!(told.lines().last(), Some("audit: green: 10000 offsets of 8 partitions accounted for in 10000 files"));
    assert!(!told.contains("finding:") && !told.contains("warning:"), "{told}");
}
