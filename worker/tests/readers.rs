//! Avro files as a reader that we did not write sees them: fastavro finds in them what pyarrow finds in Parquet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use eventsink_worker::events::{Data, Event, Header, Record, Time};
use eventsink_worker::files::{Close, Compression, CutWriter, EncodedFile, Encoding, Format, Identity, Rules};

/// 2025-12-21T10:00:00Z in milliseconds.
const MORNING: i64 = 1_766_311_200_000;

fn empty() -> Event<'static> {
    Event {
        specversion: "1.0".into(),
        id: "".into(),
        source: "".into(),
        r#type: "".into(),
        subject: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        extensions: Vec::new(),
        data: Data::None,
    }
}

fn full() -> Event<'static> {
    Event {
        id: "1\0☃".into(),
        subject: Some("".into()),
        time: Some(Time { micros: MORNING * 1000 + 1, raw: Some("2025-12-21T10:00:00.0000011Z".into()) }),
        datacontenttype: Some("application/json".into()),
        dataschema: Some("https://example.com/order".into()),
        extensions: vec![("tenant".into(), "a".into()), ("empty".into(), "".into())],
        data: Data::Text("{\"ü\": 1.0}".into()),
        ..empty()
    }
}

/// The files of one cut: an event with everything, one with nothing, one with empty data, a dead letter.
fn files(format: Format, compression: Compression) -> Vec<EncodedFile> {
    let identity = Identity {
        ledger: "ledger-1".into(),
        sink: "orders".into(),
        cluster_id: "cluster".into(),
        topic: "user-events".into(),
        topic_id: "kE3x".into(),
        partition: 0,
    };
    let columns = vec!["tenant".to_owned(), "absent".to_owned()];
    let rules = Rules { format, columns, ..Rules::default() };
    let encoding = Encoding { compression, ..Encoding::default() };
    let mut writer = CutWriter::new(Arc::new(rules), Arc::new(identity), encoding);
    let bare = |offset| Record { offset, timestamp: Some(MORNING), key: None, value: None, headers: &[] };
    let headers = [Header { name: b"", value: None }, Header { name: b"h", value: Some(b"\0\xff") }];
    let keyed = Record { key: Some(b"k\xff"), value: Some(b"\xff"), headers: &headers, ..bare(0) };
    writer.event(&keyed, &full()).unwrap();
    writer.event(&bare(1), &empty()).unwrap();
    writer.event(&bare(2), &Event { data: Data::Binary(b"".as_slice().into()), ..empty() }).unwrap();
    writer.dead(&Record { offset: 3, ..keyed }, "no_id", "").unwrap();
    writer.dead(&bare(4), "no_id", "").unwrap();
    let close = Close { from: 0, to: 5, nonce: "nonce".into(), decoder_version: 1, incomplete: false };
    writer.finish(&close).unwrap()
}

fn written(folder: &Path, name: &str, file: &EncodedFile) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, &file.body).unwrap();
    path
}

#[test]
fn fastavro_reads_from_every_codec_what_pyarrow_reads_from_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e");
    for compression in [Compression::Zstd, Compression::Snappy, Compression::Gzip, Compression::None] {
        let pairs = files(Format::Parquet, compression).into_iter().zip(files(Format::Avro, compression));
        // Sorted by key: dead letters, then events.
        for ((parquet, avro), rows) in pairs.zip(["2", "3"]) {
            let output = Command::new(e2e.join("rigs/python"))
                .arg(e2e.join("read/same.py"))
                .arg(written(folder.path(), "rows.parquet", &parquet))
                .arg(written(folder.path(), "rows.avro", &avro))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let words = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), said.trim()), (Some(0), rows), "{compression:?}: {words}");
        }
    }
}
