//! What is measured. A case differs from the standard one in a single thing, which gives it its name.

use eventsink_e2e::{Access, Mechanism};

/// How a record carries its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// JSON in the value.
    Structured,
    /// Attributes in headers.
    Binary,
}

/// What is in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Load {
    /// How records carry their events.
    pub mode: Mode,
    /// Bytes of the event, about: of a record's value, in binary mode of its headers too.
    pub size: usize,
    /// Partitions, which all have the same number of records.
    pub partitions: i32,
    /// Records.
    pub events: u64,
    /// Schema versions that events name in turn, each a folder and so an open file for each partition; 0 names none.
    pub versions: u64,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What is read.
    pub load: Load,
    /// `storage.format`.
    pub format: &'static str,
    /// `storage.compression`.
    pub compression: &'static str,
    /// How the broker is reached.
    pub access: Access,
    /// Files go to a server of S3, else to a folder.
    pub s3: bool,
    /// Workers that share the topic.
    pub workers: usize,
    /// `memory.budget`.
    pub budget: &'static str,
    /// `rotation.max_bytes`.
    pub file: &'static str,
    /// `rotation.max_records`.
    pub records: u64,
    /// `rotation.max_age`.
    pub age: &'static str,
    /// `rotation.max_idle`; the last files of a topic that was read to its end wait for it.
    pub idle: &'static str,
}

/// With this budget the standard case stays below 256 MiB.
pub const BUDGET: &str = "216MiB";
/// The default in a container of 256 MiB.
pub const SMALL_BUDGET: &str = "153MiB";
/// Room for a thousand open files.
pub const ROOMY_BUDGET: &str = "1GiB";

/// The standard case.
pub fn standard() -> Case {
    let load = Load { mode: Mode::Structured, size: 550, partitions: 6, events: 3_000_000, versions: 0 };
    Case {
        name: "standard",
        load,
        format: "parquet",
        compression: "zstd",
        access: Access::Plaintext,
        s3: false,
        workers: 1,
        budget: BUDGET,
        file: "128MiB",
        records: 1_000_000,
        age: "10m",
        idle: "1s",
    }
}

/// Every case, the standard one first.
pub fn all() -> Vec<Case> {
    let standard = standard();
    let load = standard.load;
    let like = |name, load| Case { name, load, ..standard.clone() };
    vec![
        standard.clone(),
        like("binary", Load { mode: Mode::Binary, ..load }),
        like("100-bytes", Load { size: 100, events: 6_000_000, ..load }),
        like("10-kilobytes", Load { size: 10_000, events: 240_000, ..load }),
        Case { name: "snappy", compression: "snappy", ..standard.clone() },
        Case { name: "gzip", compression: "gzip", ..standard.clone() },
        Case { name: "avro", format: "avro", ..standard.clone() },
        like("1-partition", Load { partitions: 1, ..load }),
        like("60-partitions", Load { partitions: 60, ..load }),
        like("600-partitions", Load { partitions: 600, ..load }),
        Case { budget: ROOMY_BUDGET, ..like("600-partitions-with-room", Load { partitions: 600, ..load }) },
        Case { name: "sasl-ssl", access: Access::SaslSsl(Mechanism::ScramSha512), ..standard.clone() },
        Case { name: "s3", s3: true, ..standard.clone() },
        Case { name: "two-workers", workers: 2, ..standard.clone() },
        Case { name: "small-budget", budget: SMALL_BUDGET, ..standard.clone() },
        Case { name: "8-mebibyte-files", file: "8MiB", ..standard.clone() },
        Case { name: "small-files", records: 4000, ..standard.clone() },
        Case { name: "tiny-files", records: 550, ..standard.clone() },
        Case {
            name: "1000-files",
            load: Load { partitions: 16, versions: 63, ..load },
            budget: ROOMY_BUDGET,
            ..standard
        },
    ]
}
