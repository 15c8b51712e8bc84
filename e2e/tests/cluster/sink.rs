//! One sink of a test with all it needs: topic, bucket, Secrets, and how its files are judged.

use std::path::PathBuf;
use std::time::Duration;

use eventsink_e2e::{
    Access, Cluster, Kafka, Mechanism, Mix, Namespace, Produced, S3, Target, Workspace, patiently, produce, settings,
    verify, worker,
};
use serde_json::{Value, json};

/// A topic, a bucket and Secrets in a namespace, for one EventSink called `orders`.
pub struct Sink<'a> {
    pub namespace: &'a Namespace<'a>,
    pub kafka: &'a Kafka,
    pub s3: &'a S3,
    pub topic: String,
    pub bucket: String,
    space: Workspace,
}

/// Name of the resource.
pub const NAME: &str = "orders";
/// Labels of its workers.
pub const WORKERS: &str = "app.kubernetes.io/name=eventsink-worker,app.kubernetes.io/instance=orders";

impl<'a> Sink<'a> {
    /// Makes all but the resource, on the cluster's own Kafka and store.
    pub fn new(cluster: &Cluster, namespace: &'a Namespace<'a>, stem: &str, partitions: i32) -> Self {
        Self::on(cluster.kafka(), cluster, namespace, stem, partitions)
    }

    /// As [`Self::new`], on a Kafka of the test's own.
    pub fn on(kafka: &'a Kafka, cluster: &Cluster, namespace: &'a Namespace<'a>, stem: &str, partitions: i32) -> Self {
        let s3 = cluster.s3();
        let sink = Self {
            namespace,
            kafka,
            s3,
            topic: kafka.create_topic(stem, partitions),
            bucket: s3.make_bucket(stem),
            space: Workspace::new(),
        };
        let at = &kafka.addresses;
        let ca =
            std::fs::read_to_string(&at.ca).unwrap_or_else(|error| panic!("cannot read {}: {error}", at.ca.display()));
        sink.log_in_as(&at.user, &at.password);
        namespace.secret("kafka-ca", &[("ca.crt", &ca)]);
        let (id, secret) = (&s3.at.access_key_id, &s3.at.secret_access_key);
        namespace.secret("s3", &[("accessKeyId", id), ("secretAccessKey", secret)]);
        sink
    }

    /// Writes user and password into the Secret that the sink refers to.
    pub fn log_in_as(&self, user: &str, password: &str) {
        self.namespace.secret("kafka-login", &[("username", user), ("password", password)]);
    }

    /// The resource, with small workers and files that close soon.
    pub fn resource(&self) -> Value {
        json!({
            "apiVersion": "eventsink.dev/v1alpha1",
            "kind": "EventSink",
            "metadata": {"name": NAME},
            "spec": {
                "kafka": {
                    "bootstrapServers": [self.kafka.settings(access())["bootstrap_servers"]],
                    "topics": [self.topic],
                    "security": {
                        "protocol": "SASL_SSL",
                        "sasl": {"mechanism": "SCRAM-SHA-512", "secretRef": {"name": "kafka-login"}},
                        "tls": {"caSecretRef": {"name": "kafka-ca"}},
                    },
                },
                "storage": {"s3": {
                    "bucket": self.bucket,
                    "basePath": "lake",
                    "region": self.s3.at.region,
                    "endpoint": self.s3.at.endpoint,
                    "insecureHttp": true,
                    "secretRef": {"name": "s3"},
                }},
                "file": {"rotation": {"maxAge": "2s", "maxIdle": "1s"}},
                "worker": {"resources": {
                    "requests": {"cpu": "50m", "memory": "128Mi"},
                    "limits": {"memory": "384Mi"},
                }},
            },
        })
    }

    /// The resource with other scaling.
    pub fn scaled(&self, scaling: &Value) -> Value {
        let mut resource = self.resource();
        resource["spec"]["scaling"] = scaling.clone();
        resource
    }

    /// Waits until everything that is in the topic is in files.
    pub fn wait_until_drained(&self) {
        patiently(Duration::from_secs(180), "the group has committed everything", || {
            self.kafka.drained(&self.group(), &self.topic)
        });
    }

    /// The group of its workers.
    pub fn group(&self) -> String {
        format!("eventsink.{}.{NAME}", self.namespace.name)
    }

    /// Sends a mix; the list of it is kept for [`Self::judge`].
    pub fn produce(&self, mix: &Mix) -> Produced {
        produce(self.kafka, &self.topic, mix, &self.list())
    }

    /// Panics unless every record that was produced is in exactly one file, and the ledger says so too.
    pub fn judge(&self, produced: Produced) {
        let target = Target::Bucket { server: self.s3, bucket: &self.bucket, prefix: "lake" };
        let report = verify(&self.list(), &self.topic, &target);
        assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
        let mut of_audit = settings::sink(&self.group(), &self.topic, self.kafka.settings(access()), &target);
        of_audit["sink"] = format!("{}/{NAME}", self.namespace.name).into();
        worker::audit(&settings::write(self.space.join("audit.yaml"), &of_audit));
    }

    fn list(&self) -> PathBuf {
        self.space.join("list.csv")
    }
}

/// As the resource logs in.
fn access() -> Access {
    Access::SaslSsl(Mechanism::ScramSha512)
}
