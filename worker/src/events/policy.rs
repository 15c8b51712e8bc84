//! The choices that the specification leaves to the receiver. Part of the rules digest: a change alters rows.
//! Names here are an interface: settings and the rules in the bucket spell them; never rename one.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All choices together; the default is the specification and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What to do with records that show no sign of a CloudEvent.
    pub non_cloud_events: NonCloudEvents,
    /// Rules that events may break.
    pub lenient: Lenient,
}

/// What to do with a record that is in neither content mode of the Kafka binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonCloudEvents {
    /// Dead letter with [`super::Reason::NotACloudEvent`].
    #[default]
    Reject,
    /// Count it as filtered and go on.
    Skip,
    /// Make it the data of an event that names the record.
    Wrap,
    /// Read one without a content type as a CloudEvent in JSON; others are dead letters.
    AssumeStructured,
}

/// A rule that events may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leniency {
    /// Header names count in any case, as in HTTP (against Kafka binding 3.2.3.1).
    HeaderCase,
    /// `time` may have a space for its T, which RFC 3339 section 5.6 leaves to applications.
    TimeSpace,
    /// Extensions may have names of other characters than a-z and 0-9 (against core 3), and keep them.
    ExtensionNames,
}

impl Leniency {
    pub(super) const ALL: [Self; 3] = [Self::HeaderCase, Self::TimeSpace, Self::ExtensionNames];
}

/// A set of [`Leniency`]; written as the list of its members in the order of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lenient(u8);

impl Lenient {
    /// Is it in the set?
    pub const fn contains(self, leniency: Leniency) -> bool {
        self.0 & (1 << leniency as u8) != 0
    }

    /// True when every rule is kept.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = Leniency> {
        Leniency::ALL.into_iter().filter(move |&leniency| self.contains(leniency))
    }
}

impl FromIterator<Leniency> for Lenient {
    fn from_iter<I: IntoIterator<Item = Leniency>>(members: I) -> Self {
        Self(members.into_iter().fold(0, |set, leniency| set | 1 << leniency as u8))
    }
}

impl Serialize for Lenient {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Vec::<Leniency>::deserialize(d)?.into_iter().collect())
    }
}
