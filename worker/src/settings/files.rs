//! Files that settings name: secrets are read, certificates are only opened, so that `check` finds a wrong path.

use config::Value;
use eventsink_crds::settings::{Backend, Settings};

use super::error::{Mistakes, Problem};
use super::layers;

/// Puts the content of each `*_file` secret into the setting beside it, and tries all other files.
pub(super) fn read(settings: &mut Settings, merged: &Value, mistakes: &mut Mistakes) {
    let mut files = Files { merged, mistakes };
    let sasl = &mut settings.kafka.sasl;
    files.fill("kafka.sasl.username", &mut sasl.username, &sasl.username_file);
    files.fill("kafka.sasl.password", &mut sasl.password, &sasl.password_file);
    let oauth = &mut sasl.oauth;
    files.fill("kafka.sasl.oauth.client_id", &mut oauth.client_id, &oauth.client_id_file);
    files.fill("kafka.sasl.oauth.client_secret", &mut oauth.client_secret, &oauth.client_secret_file);
    if settings.kafka.logs_in_with_tokens() {
        files.try_open("kafka.sasl.oauth.ca_file", &settings.kafka.sasl.oauth.ca_file);
    }
    let tls = &mut settings.kafka.tls;
    files.fill("kafka.tls.key_password", &mut tls.key_password, &tls.key_password_file);
    if settings.kafka.security_protocol.has_tls() {
        files.try_open("kafka.tls.ca_file", &tls.ca_file);
        files.try_open("kafka.tls.certificate_file", &tls.certificate_file);
        files.try_open("kafka.tls.key_file", &tls.key_file);
    }
    let storage = &mut settings.storage;
    files.fill("storage.proxy_url", &mut storage.proxy_url, &storage.proxy_url_file);
    let s3 = &mut storage.s3;
    files.fill("storage.s3.access_key_id", &mut s3.access_key_id, &s3.access_key_id_file);
    files.fill("storage.s3.secret_access_key", &mut s3.secret_access_key, &s3.secret_access_key_file);
    files.fill("storage.s3.session_token", &mut s3.session_token, &s3.session_token_file);
    files.fill("storage.s3.sse.customer_key", &mut s3.sse.customer_key, &s3.sse.customer_key_file);
    let azure = &mut storage.azure;
    files.fill("storage.azure.access_key", &mut azure.access_key, &azure.access_key_file);
    files.fill("storage.azure.sas_token", &mut azure.sas_token, &azure.sas_token_file);
    files.fill("storage.azure.client_secret", &mut azure.client_secret, &azure.client_secret_file);
    match storage.backend {
        Backend::S3 => files.try_open("storage.s3.ca_file", &storage.s3.ca_file),
        Backend::Azure => {
            files.try_open("storage.azure.ca_file", &storage.azure.ca_file);
            files.try_open("storage.azure.federated_token_file", &storage.azure.federated_token_file);
        }
        Backend::Gcs => {
            files.try_open("storage.gcs.ca_file", &storage.gcs.ca_file);
            files.try_open("storage.gcs.service_account_file", &storage.gcs.service_account_file);
        }
        Backend::File => {}
    }
    let traces = &mut settings.observability.traces;
    files.fill("observability.traces.headers", &mut traces.headers, &traces.headers_file);
}

struct Files<'a> {
    merged: &'a Value,
    mistakes: &'a mut Mistakes,
}

impl Files<'_> {
    fn fill<T: From<String>>(&mut self, key: &str, value: &mut Option<T>, file: &Option<String>) {
        let Some(file) = file else { return };
        let path = format!("{key}_file");
        if value.is_some() {
            let other = key.to_owned();
            self.add(&path, Problem::Both { other });
            return;
        }
        match std::fs::read_to_string(file) {
            Ok(text) => match without_newline(&text) {
                "" => self.add(
                    &path,
                    Problem::NotAllowed {
                        value: format!("{file:?}, which is empty,"),
                        allowed: "a file with the value in it".to_owned(),
                    },
                ),
                text => *value = Some(T::from(text.to_owned())),
            },
            Err(error) => self.unreadable(&path, file, &error),
        }
    }

    fn try_open(&mut self, path: &str, file: &Option<String>) {
        let Some(file) = file else { return };
        if let Err(error) = std::fs::read(file) {
            self.unreadable(path, file, &error);
        }
    }

    fn unreadable(&mut self, path: &str, file: &str, error: &std::io::Error) {
        let problem = Problem::Unreadable { file: file.to_owned(), reason: error.to_string() };
        self.add(path, problem);
    }

    fn add(&mut self, path: &str, problem: Problem) {
        let origin = layers::origin(self.merged, path);
        self.mistakes.add(path, origin, problem);
    }
}

/// Editors and `echo` end a file with one newline that is no part of the secret.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
