//! A worker with other settings takes over a cut that is not known to be finished: the cut stays as it was planned, and
//! what comes after it is as the new settings say.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mix, Target, Worker, Workspace, folder, patiently, produce, settings, sink, worker,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
const RECORDS: u64 = 100;

#[test]
fn an_adopted_cut_does_not_hand_its_rules_on_to_the_next_one() {
    let (kafka, space) = (Kafka::shared(), Workspace::new());
    let folder = space.join("lake");
    let topic = kafka.create_topic("changes", 1);
    let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &Target::Folder(&folder));
    let land = |settings: &Value, log: &str| {
        let config = settings::write(space.join("sink.yaml"), settings);
        let mix = Mix { invalid_per_thousand: 0, ..Mix::of(RECORDS, 1) };
        let _ = produce(kafka, &topic, &mix, &space.join("list.csv"));
        let mut running = Worker::start(&config, space.join(log), &[]);
        patiently(SOON, "the group has committed everything", || {
            running.assert_alive();
            kafka.drained(&topic, &topic)
        });
        (running, config)
    };

    let (mut first, _) = land(&settings, "first.log");
    first.kill9();
    // Neither a mark nor a commit says now that the newest cut is finished: it is adopted.
    kafka.delete_group(&topic);
    folder::remove_done_marks(&folder);
    settings["storage"]["format"] = "avro".into();
    let (mut second, config) = land(&settings, "second.log");
    assert!(second.log().contains("adopting a cut"), "{}", second.log());
    second.terminate();

    worker::audit(&config);
    let planned = folder::files(&folder.join(&topic)).into_iter().map(|path| {
        let (name, format) = (path.file_stem().expect("a name"), path.extension().expect("a format"));
        let offset = name.to_str().and_then(|name| name.split_once("_offset")?.1.split('_').next()).expect("an offset");
        (offset.parse::<u64>().expect("a number") < RECORDS, format.to_owned())
    });
    let planned: BTreeSet<(bool, OsString)> = planned.collect();
    assert_eq!(planned, BTreeSet::from([(true, "parquet".into()), (false, "avro".into())]));
}
