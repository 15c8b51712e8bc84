//! Settings that work and still deserve a word.

use super::{Backend, OAuth, SaslMechanism, SecurityProtocol, Settings};

impl Settings {
    /// One line per setting that weakens a promise or has no effect, each beginning with its path.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        self.warn_of_weak_transport(&mut warnings);
        self.warn_of_no_effect(&mut warnings);
        if self.storage.allow_at_least_once {
            warnings.push(
                "storage.allow_at_least_once: on a store without create-only writes a crash may leave \
                 an event in two files"
                    .to_owned(),
            );
        }
        if let Some(budget) = self.memory.budget
            && self.rotation.max_bytes.as_u64() > budget.as_u64() / 4
        {
            warnings.push(format!(
                "rotation.max_bytes: {} is more than a quarter of memory.budget {budget}; files will be smaller",
                self.rotation.max_bytes
            ));
        }
        warnings
    }

    fn warn_of_weak_transport(&self, warnings: &mut Vec<String>) {
        let kafka = &self.kafka;
        if kafka.security_protocol.has_tls() && kafka.tls.insecure_skip_verify {
            warnings.push(
                "kafka.tls.insecure_skip_verify: certificates of brokers are not checked; anyone on the \
                 path can read and change events"
                    .to_owned(),
            );
        }
        if kafka.security_protocol == SecurityProtocol::SaslPlaintext && kafka.sasl.mechanism == SaslMechanism::Plain {
            warnings.push(
                "kafka.sasl.mechanism: PLAIN over SASL_PLAINTEXT sends the password readable; use SASL_SSL or SCRAM"
                    .to_owned(),
            );
        }
        if kafka.security_protocol == SecurityProtocol::SaslPlaintext
            && kafka.sasl.mechanism == SaslMechanism::OAuthBearer
        {
            warnings.push(
                "kafka.sasl.mechanism: OAUTHBEARER over SASL_PLAINTEXT sends tokens readable; use SASL_SSL".to_owned(),
            );
        }
        if kafka.logs_in_with_tokens() && kafka.sasl.oauth.insecure_http {
            warnings.push("kafka.sasl.oauth.insecure_http: the client's secret may travel readable".to_owned());
        }
        let hosts = "ssl.endpoint.identification.algorithm";
        if kafka.security_protocol.has_tls() && kafka.options.get(hosts) == Some("none") {
            warnings.push(format!(
                "kafka.options.{hosts}: a certificate of any host that the authorities signed is taken for a broker's"
            ));
        }
        let storage = &self.storage;
        let (section, insecure) = match storage.backend {
            Backend::S3 => ("s3", storage.s3.insecure_http),
            Backend::Azure => ("azure", storage.azure.insecure_http),
            Backend::Gcs => ("gcs", storage.gcs.insecure_http),
            Backend::File => ("file", false),
        };
        if insecure {
            warnings.push(format!("storage.{section}.insecure_http: events may travel to the store readable"));
        }
    }

    fn warn_of_no_effect(&self, warnings: &mut Vec<String>) {
        let protocol = self.kafka.security_protocol;
        let sasl = &self.kafka.sasl;
        if !protocol.has_sasl() && (sasl.username.is_some() || sasl.password.is_some()) {
            warnings.push(format!(
                "kafka.sasl: has no effect with kafka.security_protocol {}; use SASL_SSL to log in",
                protocol.as_str()
            ));
        }
        if sasl.oauth != OAuth::default() && !self.kafka.logs_in_with_tokens() {
            warnings.push(
                "kafka.sasl.oauth: has no effect; set kafka.sasl.mechanism to OAUTHBEARER and kafka.security_protocol \
                 to SASL_SSL"
                    .to_owned(),
            );
        }
        let tls = &self.kafka.tls;
        if !protocol.has_tls() && (tls.ca_file.is_some() || tls.certificate_file.is_some()) {
            warnings.push(format!(
                "kafka.tls: has no effect with kafka.security_protocol {}; use SSL or SASL_SSL to encrypt",
                protocol.as_str()
            ));
        }
    }
}
