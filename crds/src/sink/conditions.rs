//! Names of conditions and their reasons. They are part of the resource: alerts and scripts go by them.

/// Types of conditions.
pub mod condition {
    /// Summary: workers run as they should and no partition is on hold.
    pub const READY: &str = "Ready";
    /// The operator or the platform is still at work on the newest spec; absent otherwise.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing will change until somebody changes something; absent otherwise.
    pub const STALLED: &str = "Stalled";
    /// The workers reach Kafka and may read the topics.
    pub const SOURCE_REACHABLE: &str = "SourceReachable";
    /// The workers reach the store and may write to it.
    pub const DESTINATION_REACHABLE: &str = "DestinationReachable";
    /// Every referenced Secret is there with the keys that are asked for.
    pub const CREDENTIALS_VALID: &str = "CredentialsValid";
    /// The number of workers follows what it should follow.
    pub const SCALING_ACTIVE: &str = "ScalingActive";
}

/// Reasons of conditions.
pub mod reason {
    /// All workers are ready.
    pub const RUNNING: &str = "Running";
    /// The sink is suspended on purpose.
    pub const SUSPENDED: &str = "Suspended";
    /// The sink has been scaled to zero on purpose.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// Workers are being started, replaced or ended.
    pub const PROGRESSING: &str = "Progressing";
    /// Workers are not ready in time.
    pub const WORKERS_NOT_READY: &str = "WorkersNotReady";
    /// A partition waits for somebody to decide.
    pub const PARTITIONS_ON_HOLD: &str = "PartitionsOnHold";
    /// The spec asks for something that cannot be.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A referenced Secret is not there.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A referenced Secret lacks a key.
    pub const SECRET_KEY_MISSING: &str = "SecretKeyMissing";
    /// A key of a referenced Secret holds something that cannot be right.
    pub const SECRET_KEY_MALFORMED: &str = "SecretKeyMalformed";
    /// The stored object is not what the definition says; it is older than the definition.
    pub const INVALID_OBJECT: &str = "InvalidObject";
    /// A claim that the sink names is not there.
    pub const CLAIM_NOT_FOUND: &str = "ClaimNotFound";
    /// The claim can be mounted on one node only, so there is one worker.
    pub const CLAIM_NOT_SHARED: &str = "ClaimNotShared";
    /// The API server refused a child.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// An object of that name exists and belongs to somebody else.
    pub const NOT_OWNED: &str = "NotOwned";
    /// It works.
    pub const OK: &str = "Ok";
    /// The brokers do not answer or refuse.
    pub const KAFKA_ERROR: &str = "KafkaError";
    /// The store does not answer or refuses.
    pub const STORE_ERROR: &str = "StoreError";
    /// No worker was there to say.
    pub const UNKNOWN: &str = "Unknown";
    /// The number is as the mode says.
    pub const FOLLOWS: &str = "Follows";
    /// A number that the mode needs is not known, so the number of workers stays.
    pub const HOLDING: &str = "Holding";
    /// One partition has most of the backlog, so more workers would not help.
    pub const PARTITION_SKEW: &str = "PartitionSkew";
    /// A partition does not move, so more workers would not help.
    pub const PARTITION_STUCK: &str = "PartitionStuck";
}
