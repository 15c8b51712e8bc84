//! From options to a store: everything that can be found wrong without asking the store is found here.
//! Creates the base folder on disk; sends nothing to a cloud. What the clouds share is in this file.

mod azure;
mod gcs;
mod s3;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use url::Url;

use super::error::{Location, Place};
use super::{Backend, Bucket, Client, Network, Secret, Store, StoreError, StoreErrorKind, StoreOptions};

/// Services that give credentials to this machine alone; a proxy would get its own.
const NEVER_PROXIED: &str = "169.254.0.0/16,metadata.google.internal";

impl Store {
    /// Checks the options and builds the client. On disk the base folder is created; a cloud is not asked anything
    /// yet, see [`Store::probe`].
    pub fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        match &options.backend {
            Backend::File { base_path } => disk(base_path),
            Backend::S3(options) => s3::open(options),
            Backend::Azure(options) => azure::open(options),
            Backend::Gcs(options) => gcs::open(options),
        }
    }
}

fn disk(base: &Path) -> Result<Store, StoreError> {
    let mut location = Location {
        place: format!("file://{}", base.display()),
        endpoint: base.display().to_string(),
        kind: Place::Folder,
        secrets: Vec::new(),
    };
    std::fs::create_dir_all(base).map_err(|e| location.opening(&e))?;
    let whole = std::fs::canonicalize(base).map_err(|e| location.opening(&e))?;
    location.place = format!("file://{}", whole.display());
    let store = LocalFileSystem::new_with_prefix(&whole).map_err(|e| location.opening(&e))?.with_fsync(true);
    let client = Client::Disk { store, base: base.to_path_buf() };
    Ok(Store { client, prefix: String::new(), location, request_timeout: Network::default().request_timeout })
}

/// A store in a cloud that is about to be opened: what its messages need, and the way to it.
struct Draft<'a> {
    location: Location,
    prefix: &'a str,
    network: &'a Network,
}

impl<'a> Draft<'a> {
    /// `root` is the place without its prefix, such as `s3://bucket`.
    fn new(root: String, kind: Place, base_path: &'a str, network: &'a Network) -> Self {
        let prefix = base_path.trim_matches('/');
        let place = if prefix.is_empty() { root } else { format!("{root}/{prefix}") };
        let location = Location { place, endpoint: String::new(), kind, secrets: Vec::new() };
        Self { location, prefix, network }
    }

    fn hide<'s>(&mut self, secrets: impl IntoIterator<Item = &'s Option<Secret>>) {
        self.location.secrets.extend(secrets.into_iter().flatten().cloned());
    }

    fn refuse(&self, words: &str) -> StoreError {
        self.location.error(StoreErrorKind::Other, format!("open {}", self.location.place), words)
    }

    fn store<S: Bucket>(
        self,
        built: object_store::Result<S>,
        client: impl FnOnce(Arc<S>) -> Client,
    ) -> Result<Store, StoreError> {
        let built = built.map_err(|e| self.location.opening(&e))?;
        let store = Store {
            client: client(Arc::new(built)),
            prefix: self.prefix.to_string(),
            location: self.location,
            request_timeout: self.network.request_timeout,
        };
        store.path("open", "")?;
        Ok(store)
    }

    /// A name becomes part of a URL or a host name, where a wrong character could only fail later and less clearly.
    fn check_name(&self, what: &str, name: &str, signs: &str) -> Result<(), StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
        if name.is_empty() || name.len() > 255 || !name.chars().all(plain) {
            let signs: Vec<String> = signs.chars().map(|c| format!("'{c}'")).collect();
            let allowed = format!("letters, digits and {}", signs.join(", "));
            return Err(self.refuse(&format!("'{name}' is not the name of a {what}: {allowed} are allowed")));
        }
        Ok(())
    }

    /// A URL that the client can take, without user, query and fragment.
    fn url(&self, what: &str, text: &str) -> Result<Url, StoreError> {
        if text.contains('@') {
            return Err(self.refuse(&format!("the {what} contains a user or password; use the settings for keys")));
        }
        let wrong = |why: &str| self.refuse(&format!("{what} '{text}' {why}; write https://host or https://host:port"));
        let url = Url::parse(text).map_err(|e| wrong(&format!("is not a URL ({e})")))?;
        match url.scheme() {
            "https" => {}
            "http" if self.network.insecure_http => {}
            "http" => return Err(wrong("is not encrypted, and insecure_http is not set")),
            _ => return Err(wrong("is neither https nor http")),
        }
        if url.host_str().is_none() {
            return Err(wrong("has no host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or a fragment"));
        }
        Ok(url)
    }

    /// No request timeout here: it would cut large bodies short. `Store` limits each operation by its size.
    fn client_options(&mut self) -> Result<ClientOptions, StoreError> {
        let mut client = ClientOptions::new()
            .with_allow_http(self.network.insecure_http)
            .with_connect_timeout(self.network.connect_timeout)
            .with_timeout_disabled();
        if let Some(file) = &self.network.ca_file {
            for certificate in self.certificates(file)? {
                client = client.with_root_certificate(certificate);
            }
        }
        if let Some(proxy) = &self.network.proxy_url {
            let login = proxy_login(proxy).ok_or_else(|| {
                self.refuse(
                    "proxy_url is not the URL of a proxy; write http://host:port or http://user:password@host:port",
                )
            })?;
            self.hide([&self.network.proxy_url, &login]);
            let excluded = ["NO_PROXY", "no_proxy"].iter().find_map(|name| std::env::var(name).ok());
            let excluded = excluded.map_or(NEVER_PROXIED.to_owned(), |hosts| format!("{hosts},{NEVER_PROXIED}"));
            client = client.with_proxy_url(proxy.expose()).with_proxy_excludes(excluded);
        }
        Ok(client)
    }

    fn certificates(&self, file: &Path) -> Result<Vec<Certificate>, StoreError> {
        let wrong = |why: &str| self.refuse(&format!("ca_file {}: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|e| wrong(&e.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(&e.to_string()))?;
        if certificates.is_empty() { Err(wrong("holds no PEM certificate")) } else { Ok(certificates) }
    }
}

/// The password in the URL of a proxy, if it has one; `None` when it is no such URL.
fn proxy_login(proxy: &Secret) -> Option<Option<Secret>> {
    let url = Url::parse(proxy.expose()).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    usable.then(|| url.password().map(Secret::new))
}

/// Two quick retries for connections that went stale; the patient loop is `retry`.
fn inner_retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str, insecure_http: bool) -> Result<String, String> {
        let network = Network { insecure_http, ..Network::default() };
        let draft = Draft::new("s3://lake".into(), Place::Bucket, "", &network);
        draft.url("endpoint", text).map(String::from).map_err(|e| e.to_string())
    }

    fn proxied(proxy: &str) -> Result<Location, String> {
        let network = Network { proxy_url: Some(Secret::new(proxy)), ..Network::default() };
        let mut draft = Draft::new("s3://lake".into(), Place::Bucket, "", &network);
        draft.client_options().map_err(|e| e.to_string())?;
        Ok(draft.location)
    }

    #[test]
    fn an_endpoint_that_would_break_the_client_is_refused_at_once() {
        for wrong in ["s3.example.com", "https://", "http://999.1.1.1", "https://h:99999", "https://h/?a=b", "ftp://h"]
        {
            assert!(url(wrong, true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unencrypted_endpoint_needs_the_switch_that_says_so() {
        let error = url("http://s3.example.com", false).unwrap_err();
        assert!(error.contains("insecure_http"), "{error}");
    }

    #[test]
    fn a_password_in_the_endpoint_is_refused_and_not_repeated() {
        let error = url("https://user:hunter2@s3.example.com", false).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_login_of_a_proxy_is_hidden_even_where_it_cannot_be_used() {
        let location = proxied("http://user:hunter2@proxy:3128").unwrap();
        let error = location.error(StoreErrorKind::Other, "get k", "proxy refused hunter2");
        assert_eq!(error.message(), "proxy refused ***");
        for wrong in ["proxy-hunter2:3128", "ftp://hunter2@proxy", "hunter2"] {
            let error = proxied(wrong).unwrap_err();
            assert!(error.contains("http://host:port") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let network = Network::default();
        let draft = Draft::new("s3://lake".into(), Place::Bucket, "", &network);
        for name in ["", "a/b", "a b", "ä"] {
            assert!(draft.check_name("bucket", name, ".-_").is_err(), "{name}");
        }
        assert!(draft.check_name("bucket", "a.b-c_9", ".-_").is_ok());
    }
}
