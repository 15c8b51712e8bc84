//! From the spec of a sink to the settings of its workers. Pure: paths of files are fixed here, what is in them is put
//! there by `build`.
//!
//! What the API server has let through may still not fit the settings, such as an unknown Kafka option: that is an
//! error here, in words that name the field.

use eventsink_crds::settings::{self, Backend, List, Settings};
use eventsink_crds::sink::{self, EventSinkSpec};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// Folder of the settings in a worker pod.
pub const CONFIG_DIR: &str = "/etc/eventsink/config";
/// File of the settings in it.
pub const CONFIG_FILE: &str = "application.yaml";
/// Folder of the credentials in a worker pod.
pub const CREDENTIALS_DIR: &str = "/etc/eventsink/credentials";
/// Folder of the volume in a worker pod.
pub const VOLUME_DIR: &str = "/var/lib/eventsink";
/// Port of a worker's HTTP.
pub const PORT: u16 = 8080;

/// A field that does not fit the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Unfit {
    /// Path in the resource.
    pub field: String,
    /// What is wrong and what would be right.
    pub why: String,
}

/// A file that holds one key of a referenced Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Name of the file in [`CREDENTIALS_DIR`].
    pub file: &'static str,
    /// Name of the Secret.
    pub secret: String,
    /// Key in it.
    pub key: String,
    /// Path of the reference in the resource.
    pub field: &'static str,
}

impl Credential {
    fn new(file: &'static str, field: &'static str, secret: &str, key: &str) -> Self {
        Self { file, secret: secret.to_owned(), key: key.to_owned(), field }
    }
}

/// Every key of a Secret that the sink refers to, and the file it becomes.
#[must_use]
pub fn credentials(spec: &EventSinkSpec) -> Vec<Credential> {
    let mut all = Vec::new();
    of_kafka(&spec.kafka.security, &mut all);
    if let Some(s3) = &spec.storage.s3 {
        of_s3(s3, &mut all);
    }
    if let Some(azure) = &spec.storage.azure {
        for (file, field, key) in [
            ("azure-access-key", "spec.storage.azure.accessKeySecretRef", &azure.access_key_secret_ref),
            ("azure-sas-token", "spec.storage.azure.sasTokenSecretRef", &azure.sas_token_secret_ref),
            ("azure-client-secret", "spec.storage.azure.clientSecretRef", &azure.client_secret_ref),
        ] {
            all.extend(key.as_ref().map(|key| Credential::new(file, field, &key.name, &key.key)));
        }
        let field = "spec.storage.azure.caSecretRef";
        all.extend(azure.ca_secret_ref.as_ref().map(|ca| Credential::new("store-ca.crt", field, &ca.name, &ca.key)));
    }
    if let Some(gcs) = &spec.storage.gcs {
        let (file, field) = ("gcs-service-account.json", "spec.storage.gcs.serviceAccountSecretRef");
        let account = gcs.service_account_secret_ref.as_ref();
        all.extend(account.map(|key| Credential::new(file, field, &key.name, &key.key)));
        let field = "spec.storage.gcs.caSecretRef";
        all.extend(gcs.ca_secret_ref.as_ref().map(|ca| Credential::new("store-ca.crt", field, &ca.name, &ca.key)));
    }
    all
}

fn of_kafka(security: &sink::Security, all: &mut Vec<Credential>) {
    if let Some(sasl) = &security.sasl {
        let (secret, field) = (&sasl.secret_ref, "spec.kafka.security.sasl.secretRef");
        all.push(Credential::new("kafka-username", field, &secret.name, &secret.username_key));
        all.push(Credential::new("kafka-password", field, &secret.name, &secret.password_key));
        if let Some(ca) = sasl.oauth.as_ref().and_then(|oauth| oauth.ca_secret_ref.as_ref()) {
            let field = "spec.kafka.security.sasl.oauth.caSecretRef";
            all.push(Credential::new("oauth-ca.crt", field, &ca.name, &ca.key));
        }
    }
    let Some(tls) = &security.tls else { return };
    if let Some(ca) = &tls.ca_secret_ref {
        all.push(Credential::new("kafka-ca.crt", "spec.kafka.security.tls.caSecretRef", &ca.name, &ca.key));
    }
    if let Some(client) = &tls.client_secret_ref {
        let field = "spec.kafka.security.tls.clientSecretRef";
        all.push(Credential::new("kafka-tls.crt", field, &client.name, &client.certificate_key));
        all.push(Credential::new("kafka-tls.key", field, &client.name, &client.private_key_key));
    }
}

fn of_s3(s3: &sink::S3, all: &mut Vec<Credential>) {
    if let Some(secret) = &s3.secret_ref {
        let field = "spec.storage.s3.secretRef";
        all.push(Credential::new("s3-access-key-id", field, &secret.name, &secret.access_key_id_key));
        all.push(Credential::new("s3-secret-access-key", field, &secret.name, &secret.secret_access_key_key));
        let token = secret.session_token_key.as_ref();
        all.extend(token.map(|token| Credential::new("s3-session-token", field, &secret.name, token)));
    }
    if let Some(key) = &s3.sse.customer_key_secret_ref {
        let field = "spec.storage.s3.sse.customerKeySecretRef";
        all.push(Credential::new("s3-customer-key", field, &key.name, &key.key));
    }
    if let Some(ca) = &s3.ca_secret_ref {
        all.push(Credential::new("store-ca.crt", "spec.storage.s3.caSecretRef", &ca.name, &ca.key));
    }
}

/// The settings of the sink's workers. `name` and `namespace` are those of the resource.
///
/// # Errors
/// Every field that does not fit, each with what would be right.
pub fn settings(spec: &EventSinkSpec, namespace: &str, name: &str) -> Result<Settings, Vec<Unfit>> {
    let mut unfit = Vec::new();
    let given = credentials(spec);
    let file = |name: &str| {
        given.iter().any(|credential| credential.file == name).then(|| format!("{CREDENTIALS_DIR}/{name}"))
    };
    let group = spec.kafka.group_id.clone().unwrap_or_else(|| format!("eventsink.{namespace}.{name}"));
    let mut settings = Settings { sink: Some(format!("{namespace}/{name}")), ..Settings::default() };
    kafka(&mut settings.kafka, &spec.kafka, &file, &mut unfit);
    settings.kafka.consumer.group_id = group;
    storage(&mut settings.storage, spec, &file);
    settings.events = events(&spec.events);
    settings.dead_letter.topic.clone_from(&spec.dead_letter.topic);
    settings.dead_letter.flood_min_records = spec.dead_letter.flood_min_records.unsigned_abs();
    let mut reader = Reader { unfit: &mut unfit };
    reader.read(
        "spec.deadLetter.floodThreshold",
        &spec.dead_letter.flood_threshold,
        &mut settings.dead_letter.flood_threshold,
    );
    let rotation = &spec.file.rotation;
    settings.rotation.max_records = rotation.max_records.unsigned_abs();
    reader.read("spec.file.rotation.maxBytes", &rotation.max_bytes, &mut settings.rotation.max_bytes);
    reader.read("spec.file.rotation.maxAge", &rotation.max_age, &mut settings.rotation.max_age);
    reader.read("spec.file.rotation.maxIdle", &rotation.max_idle, &mut settings.rotation.max_idle);
    if let Some(budget) = &spec.worker.memory_budget {
        let mut size = settings::Size::bytes(0);
        reader.read("spec.worker.memoryBudget", budget, &mut size);
        settings.memory.budget = Some(size);
    }
    settings.observability.listen = ([0, 0, 0, 0], PORT).into();
    settings.observability.log.filter.clone_from(&spec.worker.log_level);
    if unfit.is_empty() { Ok(settings) } else { Err(unfit) }
}

/// Reads values that the resource holds as text.
struct Reader<'a> {
    unfit: &'a mut Vec<Unfit>,
}

impl Reader<'_> {
    fn read<'de, T: Deserialize<'de>>(&mut self, field: &str, text: &'de str, to: &mut T) {
        let text: StrDeserializer<'de, ValueError> = text.into_deserializer();
        match T::deserialize(text) {
            Ok(value) => *to = value,
            Err(why) => self.unfit.push(Unfit { field: field.to_owned(), why: why.to_string() }),
        }
    }
}

fn kafka(to: &mut settings::Kafka, spec: &sink::Kafka, file: &impl Fn(&str) -> Option<String>, unfit: &mut Vec<Unfit>) {
    to.bootstrap_servers = spec.bootstrap_servers.iter().cloned().collect();
    to.consumer.topics = spec.topics.iter().cloned().collect();
    Reader { unfit }.read("spec.kafka.startFrom", &spec.start_from, &mut to.consumer.start_from);
    to.security_protocol = match spec.security.protocol {
        sink::Protocol::Plaintext => settings::SecurityProtocol::Plaintext,
        sink::Protocol::Ssl => settings::SecurityProtocol::Ssl,
        sink::Protocol::SaslPlaintext => settings::SecurityProtocol::SaslPlaintext,
        sink::Protocol::SaslSsl => settings::SecurityProtocol::SaslSsl,
    };
    if let Some(sasl) = &spec.security.sasl {
        login(&mut to.sasl, sasl, file);
    }
    to.tls.ca_file = file("kafka-ca.crt");
    to.tls.certificate_file = file("kafka-tls.crt");
    to.tls.key_file = file("kafka-tls.key");
    to.tls.insecure_skip_verify = spec.security.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify);
    to.on_offsets_moved = match spec.on_offsets_moved {
        sink::OnOffsetsMoved::Hold => settings::OnOffsetsMoved::Hold,
        sink::OnOffsetsMoved::Ignore => settings::OnOffsetsMoved::Ignore,
    };
    to.on_loss = match spec.on_loss {
        sink::OnLoss::Hold => settings::OnLoss::Hold,
        sink::OnLoss::Skip => settings::OnLoss::Skip,
    };
    for name in spec.options.keys() {
        if let Some(reason) = settings::refusal(name) {
            let why =
                reason.unwrap_or_else(|| "the Kafka client has no option of that name that may be set".to_owned());
            unfit.push(Unfit { field: format!("spec.kafka.options.{name}"), why });
        }
    }
    to.options = spec.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
}

fn login(to: &mut settings::Sasl, sasl: &sink::Sasl, file: &impl Fn(&str) -> Option<String>) {
    to.mechanism = match sasl.mechanism {
        sink::SaslMechanism::ScramSha256 => settings::SaslMechanism::ScramSha256,
        sink::SaslMechanism::ScramSha512 => settings::SaslMechanism::ScramSha512,
        sink::SaslMechanism::Plain => settings::SaslMechanism::Plain,
        sink::SaslMechanism::OAuthBearer => settings::SaslMechanism::OAuthBearer,
    };
    let Some(oauth) = &sasl.oauth else {
        to.username_file = file("kafka-username");
        to.password_file = file("kafka-password");
        return;
    };
    to.oauth = settings::OAuth {
        token_url: Some(oauth.token_url.clone()),
        client_id_file: file("kafka-username"),
        client_secret_file: file("kafka-password"),
        scope: oauth.scope.clone(),
        audience: oauth.audience.clone(),
        extensions: oauth.extensions.clone(),
        ca_file: file("oauth-ca.crt"),
        insecure_http: oauth.insecure_http,
        ..settings::OAuth::default()
    };
}

fn storage(to: &mut settings::Storage, spec: &EventSinkSpec, file: &impl Fn(&str) -> Option<String>) {
    to.format = match spec.file.format {
        sink::Format::Parquet => settings::Format::Parquet,
        sink::Format::Avro => settings::Format::Avro,
    };
    to.compression = match spec.file.compression {
        sink::Compression::Zstd => settings::Compression::Zstd,
        sink::Compression::Snappy => settings::Compression::Snappy,
        sink::Compression::Gzip => settings::Compression::Gzip,
        sink::Compression::None => settings::Compression::None,
    };
    to.partition_by = match spec.file.partition_by {
        sink::PartitionBy::EventTime => settings::PartitionBy::EventTime,
        sink::PartitionBy::KafkaTimestamp => settings::PartitionBy::KafkaTimestamp,
    };
    to.default_schema_version.clone_from(&spec.file.schema_version);
    to.columns = spec.file.columns.iter().cloned().collect::<List>();
    let ca_file = file("store-ca.crt");
    if let Some(s3) = &spec.storage.s3 {
        to.backend = Backend::S3;
        to.s3 = self::s3(s3, file, ca_file);
    } else if let Some(azure) = &spec.storage.azure {
        to.backend = Backend::Azure;
        to.azure = settings::Azure {
            account: azure.account.clone(),
            container: azure.container.clone(),
            base_path: azure.base_path.clone(),
            access_key_file: file("azure-access-key"),
            sas_token_file: file("azure-sas-token"),
            client_secret_file: file("azure-client-secret"),
            client_id: azure.client_id.clone(),
            tenant_id: azure.tenant_id.clone(),
            endpoint: azure.endpoint.clone(),
            authority_host: azure.authority_host.clone(),
            ca_file,
            insecure_http: azure.insecure_http,
            ..settings::Azure::default()
        };
    } else if let Some(gcs) = &spec.storage.gcs {
        to.backend = Backend::Gcs;
        to.gcs = settings::Gcs {
            bucket: gcs.bucket.clone(),
            base_path: gcs.base_path.clone(),
            service_account_file: file("gcs-service-account.json"),
            endpoint: gcs.endpoint.clone(),
            ca_file,
            insecure_http: gcs.insecure_http,
        };
    } else if let Some(filesystem) = &spec.storage.filesystem {
        to.backend = Backend::File;
        let folder = format!("{VOLUME_DIR}/{}", filesystem.base_path);
        folder.trim_end_matches('/').clone_into(&mut to.file.base_path);
    }
}

fn s3(s3: &sink::S3, file: &impl Fn(&str) -> Option<String>, ca_file: Option<String>) -> settings::S3 {
    settings::S3 {
        bucket: s3.bucket.clone(),
        base_path: s3.base_path.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        path_style: s3.path_style,
        access_key_id_file: file("s3-access-key-id"),
        secret_access_key_file: file("s3-secret-access-key"),
        session_token_file: file("s3-session-token"),
        sse: settings::Sse {
            kind: match s3.sse.kind {
                sink::SseType::None => settings::SseType::None,
                sink::SseType::S3 => settings::SseType::S3,
                sink::SseType::Kms => settings::SseType::Kms,
                sink::SseType::KmsDsse => settings::SseType::KmsDsse,
                sink::SseType::Customer => settings::SseType::Customer,
            },
            kms_key_id: s3.sse.kms_key_id.clone(),
            bucket_key: s3.sse.bucket_key,
            customer_key: None,
            customer_key_file: file("s3-customer-key"),
        },
        ca_file,
        insecure_http: s3.insecure_http,
        ..settings::S3::default()
    }
}

fn events(spec: &sink::Events) -> settings::Events {
    let lenient = |rule: &sink::Leniency| match rule {
        sink::Leniency::HeaderCase => settings::Leniency::HeaderCase,
        sink::Leniency::TimeSpace => settings::Leniency::TimeSpace,
        sink::Leniency::ExtensionNames => settings::Leniency::ExtensionNames,
    };
    settings::Events {
        non_cloud_events: match spec.non_cloud_events {
            sink::NonCloudEvents::Reject => settings::NonCloudEvents::Reject,
            sink::NonCloudEvents::Skip => settings::NonCloudEvents::Skip,
            sink::NonCloudEvents::Wrap => settings::NonCloudEvents::Wrap,
            sink::NonCloudEvents::AssumeStructured => settings::NonCloudEvents::AssumeStructured,
        },
        lenient: spec.leniency.iter().map(lenient).collect(),
    }
}
