//! Rules of the section `storage`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::ValueKind;
use eventsink_crds::settings::{Backend, Secret, Span, SseType};

use super::super::layers;
use super::{Checks, HOUR, is_folder};
use crate::files::is_fixed_column;

/// Each column costs a builder and a dictionary in every open file.
const MOST_COLUMNS: usize = 32;

impl Checks<'_> {
    pub(super) fn storage(&mut self) {
        let storage = &self.settings.storage;
        let version = &storage.default_schema_version;
        if !is_folder(version) {
            self.refuse(
                "storage.default_schema_version",
                format!("{version:?}"),
                "at most 128 letters, digits, `.`, `_` and `-`, not starting with `.` or `_`",
            );
        }
        self.columns();
        let given = layers::find(self.merged, "storage.backend");
        if given.is_none_or(|backend| backend.kind == ValueKind::Nil) {
            self.missing("storage.backend", "one of s3, azure, gcs, file");
        }
        if self.mistakes.covers("storage.backend") {
            return;
        }
        match storage.backend {
            Backend::File if storage.file.base_path.is_empty() => {
                self.missing("storage.file.base_path", "the folder to write to, since storage.backend is file");
            }
            Backend::File => {}
            Backend::S3 => self.s3(),
            Backend::Azure => self.azure(),
            Backend::Gcs => self.gcs(),
        }
        let ten_minutes = Span::from_secs(600);
        self.within("storage.timeouts.connect", storage.timeouts.connect, (Span::from_millis(100), ten_minutes), "");
        self.within("storage.timeouts.request", storage.timeouts.request, (Span::from_secs(1), HOUR), "");
    }

    fn columns(&mut self) {
        let path = "storage.columns";
        let columns = &self.settings.storage.columns;
        for name in columns.iter().filter(|name| !is_extension(name)) {
            let allowed = "names of extension attributes: a-z and 0-9 with a letter first, no attribute or column that \
                           every file has, not dt or pid";
            self.refuse(path, format!("{name:?}"), allowed);
        }
        if let Some(twice) = (1..columns.len()).find(|&i| columns[..i].contains(&columns[i])) {
            self.refuse(path, format!("{:?} twice", columns[twice]), "different names");
        }
        if columns.len() > MOST_COLUMNS {
            self.refuse(path, format!("{} names", columns.len()), format!("at most {MOST_COLUMNS}"));
        }
    }

    fn s3(&mut self) {
        let s3 = &self.settings.storage.s3;
        self.name("storage.s3.bucket", "a bucket", &s3.bucket);
        self.prefix("storage.s3.base_path", &s3.base_path);
        let endpoint = s3.endpoint.as_deref();
        self.url("storage.s3.endpoint", endpoint, s3.insecure_http, "https://minio:9000");
        let has_id = s3.access_key_id.is_some() || s3.access_key_id_file.is_some();
        let has_secret = s3.secret_access_key.is_some() || s3.secret_access_key_file.is_some();
        let has_token = s3.session_token.is_some() || s3.session_token_file.is_some();
        if !has_id && (has_secret || has_token) {
            let allowed = "the access key of the secret key and the session token";
            self.missing("storage.s3.access_key_id", allowed);
        }
        if has_id && !has_secret {
            let allowed = "the secret key of storage.s3.access_key_id";
            self.missing("storage.s3.secret_access_key", allowed);
        }
        self.sse();
    }

    fn sse(&mut self) {
        let sse = &self.settings.storage.s3.sse;
        let kms = matches!(sse.kind, SseType::Kms | SseType::KmsDsse);
        if let Some(id) = &sse.kms_key_id
            && !kms
        {
            let value = format!("{id:?}");
            self.refuse("storage.s3.sse.kms_key_id", value, "absent unless storage.s3.sse.type is kms or kms_dsse");
        }
        if let Some(flag) = sse.bucket_key
            && sse.kind != SseType::Kms
        {
            self.refuse("storage.s3.sse.bucket_key", flag, "absent unless storage.s3.sse.type is kms");
        }
        let path = "storage.s3.sse.customer_key";
        match (&sse.customer_key, sse.kind) {
            // A file that cannot be read has been told of already.
            (None, SseType::Customer) if sse.customer_key_file.is_none() => {
                self.missing(path, "32 bytes in base64, since storage.s3.sse.type is customer");
            }
            (Some(key), SseType::Customer) if decoded(key).is_none_or(|key| key.len() != 32) => {
                self.refuse(path, "***", "32 bytes in base64");
            }
            (Some(_), kind) if kind != SseType::Customer => {
                self.refuse(path, "***", "absent unless storage.s3.sse.type is customer");
            }
            _ => {}
        }
    }

    fn azure(&mut self) {
        let azure = &self.settings.storage.azure;
        let path = "storage.azure.account";
        let account = &azure.account;
        if account.is_empty() {
            self.missing(path, "the name of a storage account, since storage.backend is azure");
        } else if !account.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            self.refuse(path, format!("{account:?}"), "the bare name of a storage account");
        }
        self.name("storage.azure.container", "a container", &azure.container);
        self.prefix("storage.azure.base_path", &azure.base_path);
        let example = "https://myaccount.blob.core.windows.net";
        self.url("storage.azure.endpoint", azure.endpoint.as_deref(), azure.insecure_http, example);
        let example = "https://login.microsoftonline.com";
        self.url("storage.azure.authority_host", azure.authority_host.as_deref(), azure.insecure_http, example);
        self.azure_credentials();
    }

    fn azure_credentials(&mut self) {
        let azure = &self.settings.storage.azure;
        if let Some(key) = &azure.access_key
            && decoded(key).is_none()
        {
            self.refuse("storage.azure.access_key", "***", "a key in base64, as the portal shows it");
        }
        if let Some(sas) = &azure.sas_token
            && (sas.expose().contains("://") || !sas.expose().contains("sig="))
        {
            let allowed = "a shared access signature such as sv=...&sig=..., without the URL before it";
            self.refuse("storage.azure.sas_token", "***", allowed);
        }
        let kinds = [
            ("access_key", azure.access_key.is_some() || azure.access_key_file.is_some()),
            ("sas_token", azure.sas_token.is_some() || azure.sas_token_file.is_some()),
            ("client_secret", azure.client_secret.is_some() || azure.client_secret_file.is_some()),
            ("federated_token_file", azure.federated_token_file.is_some()),
        ];
        let mut given = kinds.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            let other = format!("storage.azure.{first}");
            self.add(&format!("storage.azure.{second}"), super::Problem::Both { other });
        }
    }

    fn gcs(&mut self) {
        let gcs = &self.settings.storage.gcs;
        self.name("storage.gcs.bucket", "a bucket", &gcs.bucket);
        self.prefix("storage.gcs.base_path", &gcs.base_path);
        self.url("storage.gcs.endpoint", gcs.endpoint.as_deref(), gcs.insecure_http, "https://storage.googleapis.com");
    }

    /// A bucket or container; `what` has its article.
    fn name(&mut self, path: &str, what: &str, name: &str) {
        if name.is_empty() {
            let section = path.split('.').nth(1).unwrap_or_default();
            self.missing(path, format!("the name of {what}, since storage.backend is {section}"));
        } else if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
            self.refuse(path, format!("{name:?}"), format!("the bare name of {what}"));
        }
    }

    fn prefix(&mut self, path: &str, prefix: &str) {
        if prefix.split('/').any(|part| part == "." || part == "..") {
            self.refuse(path, format!("{prefix:?}"), "a prefix without `.` and `..`");
        }
    }

    /// A URL of a service. Only Azure's has a path: the account, where it is not in the host.
    fn url(&mut self, path: &str, url: Option<&str>, insecure_http: bool, example: &str) {
        let Some(url) = url else { return };
        let (plain, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => (false, ""),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let host = if path.starts_with("storage.azure.") { rest.replacen('/', "", 1) } else { rest.to_owned() };
        let section = path.rsplit_once('.').map_or(path, |(section, _)| section);
        if url.contains('@') {
            self.refuse(path, "***", format!("a URL without a login; use the keys of {section}"));
        } else if rest.starts_with('/')
            || host.is_empty()
            || host.contains(|c: char| "/?#".contains(c) || c.is_whitespace())
        {
            self.refuse(path, format!("{url:?}"), format!("a URL such as {example}"));
        } else if plain && !insecure_http {
            let allowed = format!("https://; set {section}.insecure_http: true to send events readable over http://");
            self.refuse(path, format!("{url:?}"), allowed);
        }
    }
}

fn decoded(key: &Secret) -> Option<Vec<u8>> {
    STANDARD.decode(key.expose()).ok()
}

/// CloudEvents 1.0.2, "Naming conventions"; Avro takes no digit in front. Readers make columns of the folders' names.
fn is_extension(name: &str) -> bool {
    const FOLDERS: [&str; 2] = ["dt", "pid"];
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && !FOLDERS.contains(&name)
        && !is_fixed_column(name)
}
