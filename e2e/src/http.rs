//! One request for one small page: enough for probes, status, the log filter and making a bucket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Status code and body; an error when nobody listens or the answer is not HTTP.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    send(address, "GET", path, "")
}

/// As [`get`], with another method and a body.
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((code, body.to_owned()))
}

/// As [`send`] to `http://host:port/path`; panics unless the answer says that it was done.
pub(crate) fn must(method: &str, url: &str, body: &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not http"));
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = address.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
    match send(address, method, &format!("/{path}"), body) {
        Ok((200..=299, _)) => {}
        answer => panic!("{method} {url}: {answer:?}"),
    }
}
