//! Names of spans' attributes, all in one place, since the conventions still move. Messaging: OpenTelemetry semantic
//! conventions, of which v1.45 renames some; `cloudevents.`: its registry; `eventsink.`: our own.

use opentelemetry::{KeyValue, Value};

/// Value of `messaging.system`.
pub(super) const KAFKA: &str = "kafka";
pub(super) const OPERATION_NAME: &str = "messaging.operation.name";
pub(super) const OPERATION_TYPE: &str = "messaging.operation.type";
pub(super) const DESTINATION: &str = "messaging.destination.name";
pub(super) const PARTITION: &str = "messaging.destination.partition.id";
pub(super) const GROUP: &str = "messaging.consumer.group.name";
pub(super) const COUNT: &str = "messaging.batch.message_count";
pub(super) const ERROR: &str = "error.type";

pub(super) const EVENT_ID: &str = "cloudevents.event_id";
pub(super) const EVENT_SOURCE: &str = "cloudevents.event_source";
pub(super) const EVENT_TYPE: &str = "cloudevents.event_type";
pub(super) const EVENT_SPEC_VERSION: &str = "cloudevents.event_spec_version";

pub(super) const CUT_FROM: &str = "eventsink.cut.from";
pub(super) const CUT_TO: &str = "eventsink.cut.to";
pub(super) const CUT_NONCE: &str = "eventsink.cut.nonce";
pub(super) const CUT_TRIGGER: &str = "eventsink.cut.trigger";
pub(super) const CUT_ADOPTED: &str = "eventsink.cut.adopted";
pub(super) const FILE_KEY: &str = "eventsink.file.key";
pub(super) const FILE_ROWS: &str = "eventsink.file.rows";
pub(super) const FILE_SIZE: &str = "eventsink.file.size";
pub(super) const COMMIT_OFFSET: &str = "eventsink.commit.offset";

pub(super) const SERVICE_NAME: &str = "service.name";
pub(super) const SERVICE_VERSION: &str = "service.version";
pub(super) const SERVICE_INSTANCE: &str = "service.instance.id";
pub(super) const SINK: &str = "eventsink.sink";

/// Which names the messaging attributes get that v1.45 renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Those before v1.45.
    Old,
    /// Those of v1.45.
    New,
    /// Both, for the time of a change.
    Both,
}

impl Names {
    /// What the variable `OTEL_SEMCONV_STABILITY_OPT_IN` asks for: `messaging`, `messaging/dup` or neither.
    pub fn opted(variable: &str) -> Self {
        let asks = |word: &str| variable.split(',').any(|part| part.trim() == word);
        match (asks("messaging/dup"), asks("messaging")) {
            (true, _) => Self::Both,
            (_, true) => Self::New,
            _ => Self::Old,
        }
    }

    pub fn system(self) -> impl Iterator<Item = KeyValue> {
        self.either("messaging.system", "messaging.system.name", KAFKA.into())
    }

    pub fn offset(self, offset: i64) -> impl Iterator<Item = KeyValue> {
        self.either("messaging.kafka.offset", "kafka.offset", offset.into())
    }

    pub fn tombstone(self) -> impl Iterator<Item = KeyValue> {
        self.either("messaging.kafka.message.tombstone", "kafka.message.tombstone", true.into())
    }

    fn either(self, old: &'static str, new: &'static str, value: Value) -> impl Iterator<Item = KeyValue> {
        let of = |name: &'static str, wanted: bool| wanted.then(|| KeyValue::new(name, value.clone()));
        of(old, self != Self::New).into_iter().chain(of(new, self != Self::Old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn systems(variable: &str) -> Vec<String> {
        Names::opted(variable).system().map(|pair| pair.key.to_string()).collect()
    }

    #[test]
    fn the_variable_chooses_old_names_new_ones_or_both() {
        assert_eq!(systems("http"), ["messaging.system"]);
        assert_eq!(systems("http,messaging"), ["messaging.system.name"]);
        assert_eq!(systems("messaging/dup, http"), ["messaging.system", "messaging.system.name"]);
    }
}
