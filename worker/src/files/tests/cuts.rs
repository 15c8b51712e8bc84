//! Which files a cut becomes, new or after its plan.

use std::sync::Arc;

use super::*;
use crate::events::Time;

#[test]
fn the_key_is_the_one_the_template_promises() {
    let mut writer = writer();
    for offset in 12_345..13_345 {
        writer.event(&record(offset), &event()).unwrap();
    }
    let files = writer.finish(&close()).unwrap();
    let keys: Vec<&str> = files.iter().map(|file| file.plan.key.as_str()).collect();
    assert_eq!(keys, ["user-events/v1/dt=2025-12-21/pid=0/20251221_100000_offset12345_count1000.parquet"]);
}

#[test]
fn a_dead_letter_lies_under_its_own_folder() {
    assert_eq!(dead_file().plan.key, "_dlq/user-events/dt=2025-12-21/pid=0/20251221_100000_offset3_count2.parquet");
}

#[test]
fn a_row_with_a_bad_clock_lies_under_its_kafka_day() {
    let mut writer = writer();
    let year_zero = Time { micros: -62_167_219_200_000_000, raw: None };
    writer.event(&record(1), &Event { time: Some(year_zero), ..event() }).unwrap();
    let yesterday = Time { micros: (MORNING - DAY) * 1000, raw: None };
    writer.event(&record(2), &Event { time: Some(yesterday), ..event() }).unwrap();
    let keys: Vec<String> = writer.finish(&close()).unwrap().into_iter().map(|f| f.plan.key).collect();
    assert_eq!(
        keys,
        [
            "user-events/v1/dt=2025-12-20/pid=0/20251221_100000_offset2_count1.parquet",
            "user-events/v1/dt=2025-12-21/pid=0/20251221_100000_offset1_count1.parquet",
        ]
    );
}

#[test]
fn rows_without_a_usable_timestamp_are_counted_and_lie_under_1970() {
    let mut writer = writer();
    writer.event(&Record { timestamp: None, ..record(1) }, &event()).unwrap();
    writer.dead(&Record { timestamp: Some(i64::MIN), ..record(2) }, "r", "d").unwrap();
    assert_eq!(writer.undated(), 2);
    let keys: Vec<String> = writer.finish(&close()).unwrap().into_iter().map(|f| f.plan.key).collect();
    assert_eq!(
        keys,
        [
            "_dlq/user-events/dt=1970-01-01/pid=0/19700101_000000_offset2_count1.parquet",
            "user-events/v1/dt=1970-01-01/pid=0/19700101_000000_offset1_count1.parquet",
        ]
    );
}

fn with_keys(max_open_keys: u32) -> CutWriter {
    writer_with(Rules { max_open_keys, ..Rules::default() }, Encoding::default())
}

fn folders(files: &[EncodedFile]) -> Vec<(String, u64)> {
    files.iter().map(|file| (file.plan.key.rsplit_once("/pid=").unwrap().0.to_owned(), file.plan.rows)).collect()
}

#[test]
fn surplus_keys_share_one_file_in_the_order_of_offsets() {
    let mut writer = with_keys(2);
    for (offset, version) in (0..).zip(["a", "b", "c", "a", "other", "d"]) {
        let late = if offset > 3 { DAY } else { 0 };
        let record = Record { timestamp: Some(MORNING + late), ..record(offset) };
        writer.event(&record, &event_of(version)).unwrap();
    }
    assert!(writer.overflowed());
    assert_eq!(
        folders(&writer.finish(&close()).unwrap()),
        [
            ("user-events/a/dt=2025-12-21".to_owned(), 2),
            ("user-events/b/dt=2025-12-21".to_owned(), 1),
            ("user-events/other/dt=2025-12-21".to_owned(), 3),
        ]
    );
}

#[test]
fn an_event_that_calls_itself_other_does_not_take_the_surplus_file() {
    let mut writer = with_keys(1);
    writer.event(&record(0), &event_of("other")).unwrap();
    assert!(!writer.overflowed());
    assert_eq!(folders(&writer.finish(&close()).unwrap())[0].0, "user-events/%6Fther/dt=2025-12-21");
}

#[test]
fn a_flood_of_days_in_dead_letters_opens_a_bounded_number_of_files() {
    let mut writer = with_keys(2);
    for offset in 0..100 {
        let record = Record { timestamp: Some(MORNING + offset * DAY), ..record(offset) };
        writer.dead(&record, "r", "d").unwrap();
    }
    assert!(writer.overflowed());
    assert_eq!(
        folders(&writer.finish(&close()).unwrap()),
        [
            ("_dlq/user-events/dt=1970-01-01".to_owned(), 98),
            ("_dlq/user-events/dt=2025-12-21".to_owned(), 1),
            ("_dlq/user-events/dt=2025-12-22".to_owned(), 1),
        ]
    );
}

#[test]
fn a_cut_without_rows_has_no_files() {
    assert!(writer().finish(&close()).unwrap().is_empty());
}

#[test]
fn an_offset_that_does_not_grow_is_refused() {
    let mut writer = writer();
    writer.event(&record(5), &event()).unwrap();
    let error = writer.dead(&record(5), "r", "d").unwrap_err();
    assert!(matches!(error, EncodeError::OutOfOrder { offset: 5, last: 5 }), "{error}");
}

#[test]
fn memory_and_size_grow_with_the_rows_and_stay_honest() {
    let mut writer =
        writer_with(Rules::default(), Encoding { compression: Compression::None, row_group_bytes: 512 << 10 });
    let rows = many_rows();
    for (record, event) in &rows {
        writer.event(record, event).unwrap();
    }
    let (memory, estimate) = (writer.memory() as u64, writer.largest_file());
    let size = writer.finish(&close()).unwrap()[0].body.len() as u64;
    assert!(memory >= size / 2, "{memory} bytes held of a file of {size}");
    assert!((size / 2..size * 2).contains(&estimate), "{estimate} estimated of a file of {size}");
}

fn follow(plan: &[PlannedFile]) -> CutWriter {
    CutWriter::following(Arc::new(Rules::default()), identity(), Encoding::default(), plan).unwrap()
}

#[test]
fn a_plan_whose_records_are_all_there_is_repeated_without_a_mark() {
    let (rows, plan) = plan_of_two_versions();
    let mut writer = follow(&plan);
    for (record, event) in &rows {
        writer.event(record, event).unwrap();
    }
    let files = writer.finish(&Close { incomplete: true, ..close() }).unwrap();
    assert_eq!(files.iter().map(|file| file.plan.clone()).collect::<Vec<_>>(), plan);
    assert!(files.iter().all(|file| !footer_of(&file.body).incomplete));
}

#[test]
fn rows_that_are_left_go_under_the_planned_keys_and_say_what_is_missing() {
    let (rows, plan) = plan_of_two_versions();
    let mut writer = follow(&plan);
    for (record, event) in &rows[3..] {
        writer.event(record, event).unwrap();
    }
    let files = writer.finish(&Close { incomplete: true, ..close() }).unwrap();
    let told: Vec<_> = files
        .iter()
        .map(|file| {
            let footer = footer_of(&file.body);
            (file.plan.clone(), footer.incomplete, footer.rows, footer.first, footer.last)
        })
        .collect();
    assert_eq!(told, [(plan[0].clone(), true, 1, 0, 4), (plan[1].clone(), true, 2, 1, 5)]);
}

#[test]
fn a_plan_that_cannot_be_repeated_is_an_error_while_nothing_is_lost() {
    let (rows, plan) = plan_of_two_versions();
    let mut writer = follow(&plan);
    for (record, event) in &rows[1..] {
        writer.event(record, event).unwrap();
    }
    let error = writer.finish(&close()).unwrap_err();
    assert!(matches!(error, EncodeError::PlanDiffers { planned: 3, rows: 2, .. }), "{error}");
}

#[test]
fn a_row_outside_the_plan_is_an_error() {
    let (_, plan) = plan_of_two_versions();
    let error = follow(&plan).event(&record(0), &event_of("third")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row now belongs to `user-events/third/dt=2025-12-21/pid=0`, where no file was planned: a decoder of the planned version is needed"
    );
}

#[test]
fn surplus_rows_of_a_plan_find_its_other_file_again() {
    let encode_into = |mut writer: CutWriter| {
        for (offset, version) in (0..).zip(["a", "b", "c", "d"]) {
            writer.event(&record(offset), &event_of(version)).unwrap();
        }
        writer.finish(&close()).unwrap().into_iter().map(|file| file.plan).collect::<Vec<_>>()
    };
    let plan = encode_into(with_keys(2));
    assert_eq!(encode_into(follow(&plan)), plan);
}
