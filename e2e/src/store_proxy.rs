//! A proxy in front of an S3 server that fails as a test asks: it refuses, delays, throttles, drops the request, or lets
//! the write land and drops the answer. Passes bytes on as they are, so signatures stay valid; knows of S3 only that
//! the path names the object. One request per connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// Which requests a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matches {
    /// All of them.
    Any,
    /// Every put.
    Put,
    /// The put of a manifest.
    Manifest,
    /// The put of a file of events, dead letters not among them.
    Data,
    /// The put of a file of dead letters.
    DeadLetters,
}

impl Matches {
    fn holds(self, method: &str, path: &str) -> bool {
        let put = method == "PUT";
        match self {
            Self::Any => true,
            Self::Put => put,
            Self::Manifest => put && path.contains("/_eventsink/") && path.contains("/cuts/"),
            Self::Data => put && !path.contains("/_eventsink/") && !path.contains("/_dlq/"),
            Self::DeadLetters => put && path.contains("/_dlq/"),
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not land, and is answered with this status; a 503 asks for a second of patience.
    Refuse(u16),
    /// It lands, and is answered with this status all the same.
    LandAndRefuse(u16),
    /// It does not land, and the connection ends without an answer.
    Drop,
    /// It lands, and the connection ends without an answer.
    LandAndDrop,
    /// It lands so much later.
    Delay(Duration),
    /// Its body passes at so many bytes per second, a rate that all requests of the rule share.
    Throttle(u64),
    /// It waits before it lands: [`StoreProxy::release`] lets it pass, any other change of the rules drops it.
    Hold,
    /// It lands, and its answer waits: [`StoreProxy::release`] sends it, any other change of the rules drops it.
    LandAndHold,
}

/// A fault, and the requests that meet it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Which requests.
    pub matches: Matches,
    /// What happens to them.
    pub fault: Fault,
    /// Share of them that it happens to, in percent.
    pub percent: u8,
    /// How many pass before the first that it happens to.
    pub skip: u64,
    /// How many it happens to at most.
    pub times: u64,
}

impl Rule {
    /// Every matching request.
    #[must_use]
    pub fn every(matches: Matches, fault: Fault) -> Self {
        Self { matches, fault, percent: 100, skip: 0, times: u64::MAX }
    }

    /// The first matching request alone.
    #[must_use]
    pub fn first(matches: Matches, fault: Fault) -> Self {
        Self { times: 1, ..Self::every(matches, fault) }
    }

    /// A share of the matching requests, in percent.
    #[must_use]
    pub fn share(percent: u8, matches: Matches, fault: Fault) -> Self {
        Self { percent, ..Self::every(matches, fault) }
    }
}

/// What the proxy has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Requests seen, those with a fault included.
    pub requests: u64,
    /// Requests that met a fault, with its kind and their path, in order.
    pub faults: Vec<(Fault, String)>,
    /// Answers by the server's own word "exists" (412).
    pub exists: u64,
}

/// A running proxy; it lives as long as this process.
#[derive(Debug)]
pub struct StoreProxy {
    /// URL to give to the worker.
    pub endpoint: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<(Rule, Progress)>,
    /// Grows with every change of the rules: whoever holds a request waits for it to grow.
    age: u64,
    /// Whether the newest change lets requests on hold go on.
    passes: bool,
    seed: u64,
    done: Done,
}

#[derive(Debug, Default)]
struct Progress {
    matched: u64,
    applied: u64,
    busy_until: Option<Instant>,
}

impl StoreProxy {
    /// Starts one before `endpoint`, as `http://address:port`; it fails nothing until it is told to.
    #[must_use]
    pub fn before(endpoint: &str) -> Self {
        let upstream = endpoint.trim_start_matches("http://").parse();
        let upstream = upstream.unwrap_or_else(|error| panic!("{endpoint} is no address: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = Mutex::new(State { seed: 1, ..State::default() });
        let shared = Arc::new(Shared { upstream, state, changed: Condvar::new() });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                // A client that goes away in the middle is what these tests are about.
                thread::spawn(move || shared.serve(client).ok());
            }
        });
        Self { endpoint, shared }
    }

    /// From now on these rules stand, the first that matches counts. Requests on hold end without an answer.
    pub fn set(&self, rules: &[Rule]) {
        self.change(rules, false);
    }

    /// From now on all is well, and requests on hold go on as if nothing had been.
    pub fn release(&self) {
        self.change(&[], true);
    }

    fn change(&self, rules: &[Rule], passes: bool) {
        let mut state = self.shared.state();
        state.rules = rules.iter().map(|rule| (*rule, Progress::default())).collect();
        state.age += 1;
        state.passes = passes;
        self.shared.changed.notify_all();
    }

    /// From now on all is well.
    pub fn heal(&self) {
        self.set(&[]);
    }

    /// Another seed of the shares in percent, other victims; not 0.
    pub fn seed(&self, seed: u64) {
        self.shared.state().seed = seed;
    }

    /// What it has done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        self.shared.state().done.clone()
    }

    /// Requests that met a fault so far.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.shared.state().done.faults.len()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let request = Request::read(&mut client)?;
        let Some((fault, wait, age)) = self.judge(&request) else {
            return self.pass(&request, &mut client);
        };
        match fault {
            Fault::Refuse(status) => client.write_all(&refusal(status))?,
            Fault::LandAndRefuse(status) => {
                self.land(&request)?;
                client.write_all(&refusal(status))?;
            }
            Fault::Drop => {}
            Fault::LandAndDrop => drop(self.land(&request)?),
            Fault::Delay(_) | Fault::Throttle(_) => {
                thread::sleep(wait);
                return self.pass(&request, &mut client);
            }
            Fault::Hold => {
                if self.passes_after(age) {
                    return self.pass(&request, &mut client);
                }
            }
            Fault::LandAndHold => {
                let answer = self.land(&request)?;
                if self.passes_after(age) {
                    client.write_all(&answer)?;
                }
            }
        }
        client.shutdown(Shutdown::Both)
    }

    fn pass(&self, request: &Request, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&self.land(request)?)?;
        client.shutdown(Shutdown::Both)
    }

    /// The server's whole answer.
    fn land(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(self.upstream)?;
        let sent = server.write_all(&request.bytes);
        let mut answer = Vec::new();
        let heard = server.read_to_end(&mut answer);
        // A server that refuses by the headers alone may close before it has read the body; its answer counts.
        if answer.is_empty() {
            sent?;
            heard?;
        }
        if answer.get(9..12) == Some(b"412") {
            self.state().done.exists += 1;
        }
        Ok(answer)
    }

    /// What this request meets, how long it waits, and the age of the rules that say so.
    fn judge(&self, request: &Request) -> Option<(Fault, Duration, u64)> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.done.requests += 1;
        for (rule, progress) in &mut state.rules {
            if !rule.matches.holds(&request.method, &request.path) {
                continue;
            }
            progress.matched += 1;
            let chosen = next(&mut state.seed) % 100 < u64::from(rule.percent);
            if !chosen || progress.matched <= rule.skip || progress.applied >= rule.times {
                continue;
            }
            progress.applied += 1;
            state.done.faults.push((rule.fault, request.path.clone()));
            return Some((rule.fault, progress.wait(rule.fault, request.bytes.len()), state.age));
        }
        None
    }

    /// Waits for the next change of the rules; whether a request on hold goes on then.
    fn passes_after(&self, age: u64) -> bool {
        let guard = self.changed.wait_while(self.state(), |state| state.age == age);
        guard.unwrap_or_else(PoisonError::into_inner).passes
    }
}

impl Progress {
    /// How long a request of so many bytes waits.
    fn wait(&mut self, fault: Fault, bytes: usize) -> Duration {
        match fault {
            Fault::Delay(wait) => wait,
            Fault::Throttle(rate) => {
                let now = Instant::now();
                let begins = self.busy_until.map_or(now, |until| until.max(now));
                let ends = begins + Duration::from_secs_f64(bytes as f64 / rate as f64);
                self.busy_until = Some(ends);
                ends - now
            }
            _ => Duration::ZERO,
        }
    }
}

/// A step of xorshift64: the same shares in every run.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

struct Request {
    method: String,
    path: String,
    /// Head and body as they came, but for one more header: the server closes the connection after its answer.
    bytes: Vec<u8>,
}

impl Request {
    fn read(client: &mut TcpStream) -> io::Result<Self> {
        let mut head = Vec::new();
        let mut byte = [0];
        let mut input = io::BufReader::new(client);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            input.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut words = text.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut bytes = head;
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(b"connection: close\r\n\r\n");
        let begins = bytes.len();
        bytes.resize(begins + content_length(&text), 0);
        input.read_exact(&mut bytes[begins..])?;
        Ok(Self { method, path, bytes })
    }
}

/// Bytes of the body; none without the header, since no client here sends chunks.
fn content_length(head: &str) -> usize {
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(value).unwrap_or(0)
}

/// An answer in the words of S3.
fn refusal(status: u16) -> Vec<u8> {
    let (code, header) = match status {
        403 => ("AccessDenied", ""),
        409 => ("ConditionalRequestConflict", ""),
        412 => ("PreconditionFailed", ""),
        503 => ("SlowDown", "retry-after: 1\r\n"),
        _ => ("InternalError", ""),
    };
    let body = format!("<Error><Code>{code}</Code><Message>the proxy says so</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status} {code}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A server that answers 200 to everything and counts, and a proxy before it.
    fn proxy() -> (StoreProxy, Arc<AtomicU64>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let landed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&landed);
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let request = Request::read(&mut client).expect("a request");
                assert!(String::from_utf8_lossy(&request.bytes).contains("Host: store.example\r\n"), "as it came");
                counter.fetch_add(1, Ordering::SeqCst);
                client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it listens");
            }
        });
        (StoreProxy::before(&endpoint), landed)
    }

    /// First line of the answer to a put; empty when there is none.
    fn put(proxy: &StoreProxy, path: &str) -> String {
        let mut stream = TcpStream::connect(proxy.endpoint.trim_start_matches("http://")).expect("it listens");
        let request = format!("PUT {path} HTTP/1.1\r\nHost: store.example\r\nContent-Length: 4\r\n\r\nbody");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        // A connection that ends without an answer may end with an error too.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    /// Answers to one data file under a rule, and how many landed.
    fn under(fault: Fault) -> (String, u64) {
        let (proxy, landed) = proxy();
        proxy.set(&[Rule::every(Matches::Data, fault)]);
        (put(&proxy, "/b/t/v1/x.parquet"), landed.load(Ordering::SeqCst))
    }

    const OK: &str = "HTTP/1.1 200 OK";

    #[test]
    fn each_fault_lands_or_not_and_answers_as_it_says() {
        assert_eq!(under(Fault::Refuse(503)), ("HTTP/1.1 503 SlowDown".into(), 0));
        assert_eq!(under(Fault::LandAndRefuse(503)), ("HTTP/1.1 503 SlowDown".into(), 1));
        assert_eq!(under(Fault::Drop), (String::new(), 0));
        assert_eq!(under(Fault::LandAndDrop), (String::new(), 1));
        assert_eq!(under(Fault::Delay(Duration::from_millis(1))), (OK.into(), 1));
        assert_eq!(under(Fault::Throttle(1_000_000)), (OK.into(), 1));
    }

    #[test]
    fn a_rule_is_for_its_objects_alone() {
        let matching = [
            (Matches::Manifest, "/b/_eventsink/t/id/0/cuts/1.json"),
            (Matches::Data, "/b/t/v1/dt=1/pid=0/x.parquet"),
            (Matches::DeadLetters, "/b/_dlq/t/dt=1/pid=0/x.parquet"),
        ];
        for (rule, _) in matching {
            for (own, path) in matching {
                assert_eq!(rule.holds("PUT", path), rule == own, "{rule:?} {path}");
            }
            assert!(!rule.holds("GET", "/b/_eventsink/t/id/0/cuts/1.json"));
        }
        assert!(!Matches::Manifest.holds("PUT", "/b/_eventsink/t/id/0/done/1.json"));
    }

    #[test]
    fn a_rule_skips_and_ends_as_it_says() {
        let (proxy, landed) = proxy();
        proxy.set(&[Rule { skip: 1, times: 2, ..Rule::every(Matches::Put, Fault::Drop) }]);
        let answers: Vec<_> = (0..5).map(|_| put(&proxy, "/b/x")).collect();
        assert_eq!(answers, [OK, "", "", OK, OK]);
        assert_eq!((landed.load(Ordering::SeqCst), proxy.faults(), proxy.done().requests), (3, 2, 5));
    }

    #[test]
    fn a_request_on_hold_passes_when_released_and_is_dropped_when_healed() {
        for (fault, released, answer, lands) in [
            (Fault::Hold, true, OK, 1),
            (Fault::Hold, false, "", 0),
            (Fault::LandAndHold, true, OK, 1),
            (Fault::LandAndHold, false, "", 1),
        ] {
            let (proxy, landed) = proxy();
            proxy.set(&[Rule::first(Matches::Put, fault)]);
            let got = thread::scope(|scope| {
                let waiting = scope.spawn(|| put(&proxy, "/b/x"));
                crate::patiently(Duration::from_secs(10), "it is on hold", || {
                    if proxy.faults() == 1 { Ok(()) } else { Err(String::new()) }
                });
                if released {
                    proxy.release()
                } else {
                    proxy.heal()
                }
                waiting.join().expect("no panic")
            });
            assert_eq!((got.as_str(), landed.load(Ordering::SeqCst)), (answer, lands), "{fault:?} {released}");
        }
    }

    #[test]
    fn a_share_is_near_its_percentage_and_the_same_in_every_run() {
        let mut seed = 1;
        let hits = (0..10_000).filter(|_| next(&mut seed) % 100 < 5).count();
        assert!((400..600).contains(&hits), "{hits} of 10000");
    }

    #[test]
    fn requests_share_the_rate_of_a_throttle() {
        let mut progress = Progress::default();
        let fault = Fault::Throttle(1_000);
        let waits: Vec<_> = (0..3).map(|_| progress.wait(fault, 1_000).as_secs_f64().round()).collect();
        assert_eq!(waits, [1.0, 2.0, 3.0]);
    }
}
