//! A proxy of connections, whatever is spoken on them, that can go silent as a cut cable does, or refuse as a dead host
//! does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes that pass at a time.
const PIECE: usize = 16 << 10;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Bytes pass.
    Open,
    /// Nothing passes and nobody is told; what was sent meanwhile passes later, as TCP has it.
    Silent,
    /// Every connection is closed, and so is each new one.
    Refused,
}

#[derive(Debug)]
struct State {
    line: Line,
    upstream: Option<SocketAddr>,
    connections: Vec<TcpStream>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A running proxy; it lives as long as this process.
#[derive(Debug)]
pub struct TcpProxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl TcpProxy {
    /// A proxy on a port of its own that refuses until it knows where to forward to.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = State { line: Line::Open, upstream: None, connections: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that goes away in the middle is what these tests are about.
                let _ = own.connect(client);
            }
        });
        Self { address, shared }
    }

    /// New connections go there.
    pub fn forward_to(&self, upstream: SocketAddr) {
        self.shared.state().upstream = Some(upstream);
    }

    /// Changes what becomes of connections, those that stand included.
    pub fn set(&self, line: Line) {
        let mut state = self.shared.state();
        state.line = line;
        if line == Line::Refused {
            state.connections.drain(..).for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
        }
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let mut state = self.state();
        let upstream = state.upstream.filter(|_| state.line != Line::Refused).ok_or(io::ErrorKind::NotConnected)?;
        let server = TcpStream::connect(upstream)?;
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to, own) = (from.try_clone()?, to.try_clone()?, Arc::clone(self));
            state.connections.push(from.try_clone()?);
            thread::spawn(move || own.pass(from, to));
        }
        Ok(())
    }

    /// Passes bytes one way until either end closes.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            self.wait();
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        // Whichever way ended, the other has nobody to talk to.
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Waits until bytes may pass.
    fn wait(&self) {
        drop(self.changed.wait_while(self.state(), |state| state.line == Line::Silent));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A proxy before a server that answers each byte with the next one, and a client of it.
    fn connected() -> (TcpProxy, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = TcpProxy::start();
        proxy.forward_to(server.local_addr().unwrap());
        thread::spawn(move || {
            for mut client in server.incoming().flatten() {
                let mut byte = [0];
                while client.read_exact(&mut byte).is_ok() {
                    client.write_all(&[byte[0] + 1]).unwrap();
                }
            }
        });
        let client = TcpStream::connect(proxy.address).unwrap();
        (proxy, client)
    }

    fn ask(client: &mut TcpStream, byte: u8) -> io::Result<u8> {
        client.write_all(&[byte])?;
        let mut answer = [0];
        client.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn what_was_sent_into_the_silence_passes_when_it_ends() {
        let (proxy, mut client) = connected();
        assert_eq!(ask(&mut client, 1).unwrap(), 2);
        proxy.set(Line::Silent);
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(ask(&mut client, 5).is_err(), "nothing passes");
        proxy.set(Line::Open);
        client.set_read_timeout(None).unwrap();
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], 6);
    }

    #[test]
    fn a_refusal_ends_old_and_new_connections() {
        let (proxy, mut client) = connected();
        assert_eq!(ask(&mut client, 1).unwrap(), 2);
        proxy.set(Line::Refused);
        assert!(ask(&mut client, 1).is_err());
        assert!(TcpStream::connect(proxy.address).and_then(|mut client| ask(&mut client, 1)).is_err());
        proxy.set(Line::Open);
        assert_eq!(ask(&mut TcpStream::connect(proxy.address).unwrap(), 3).unwrap(), 4);
    }
}
