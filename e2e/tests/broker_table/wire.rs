//! The few requests of Kafka's protocol that a group member sends, each when the test says so: a client library
//! would choose the moment itself. Versions are the newest before flexible encoding.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection on which one request at a time is under way.
pub struct Connection(TcpStream);

/// The body of a request.
#[derive(Clone, Default)]
pub struct Body(Vec<u8>);

impl Body {
    pub fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn text(self, value: &str) -> Self {
        let mut body = self.i16(i16::try_from(value.len()).expect("a short text"));
        body.0.extend(value.as_bytes());
        body
    }

    pub fn bytes(self, value: &[u8]) -> Self {
        let mut body = self.i32(i32::try_from(value.len()).expect("few bytes"));
        body.0.extend(value);
        body
    }
}

impl Body {
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The body of a response, read from its beginning.
pub struct Answer(Vec<u8>, usize);

impl Answer {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.1 += N;
        self.0[self.1 - N..self.1].try_into().expect("a whole response")
    }

    pub fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    pub fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    /// Empty when there is none.
    pub fn text(&mut self) -> String {
        let length = usize::try_from(self.i16()).unwrap_or(0);
        self.1 += length;
        String::from_utf8_lossy(&self.0[self.1 - length..self.1]).into_owned()
    }

    pub fn skip_bytes(&mut self) {
        self.1 += usize::try_from(self.i32()).unwrap_or(0);
    }
}

/// What is asked: the key of the request and its version.
#[derive(Clone, Copy)]
pub struct Api(pub i16, pub i16);

pub const OFFSET_COMMIT: Api = Api(8, 6);
pub const OFFSET_FETCH: Api = Api(9, 5);
pub const FIND_COORDINATOR: Api = Api(10, 0);
pub const JOIN_GROUP: Api = Api(11, 3);
pub const HEARTBEAT: Api = Api(12, 1);
pub const LEAVE_GROUP: Api = Api(13, 1);
pub const SYNC_GROUP: Api = Api(14, 1);
pub const DESCRIBE_GROUPS: Api = Api(15, 0);
pub const OFFSET_FOR_LEADER_EPOCH: Api = Api(23, 2);
pub const DELETE_GROUPS: Api = Api(42, 0);

impl Connection {
    pub fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Self(stream)
    }

    pub fn send(&mut self, api: Api, body: Body) {
        // Correlation 0 and no client id: there is never more than one answer to wait for.
        let mut request = Body::default().i16(api.0).i16(api.1).i32(0).i16(-1);
        request.0.extend(body.0);
        self.0.write_all(&Body::default().bytes(&request.0).0).expect("the broker takes a request");
    }

    pub fn receive(&mut self) -> Answer {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("the broker answers");
        let mut response = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        self.0.read_exact(&mut response).expect("the broker answers");
        Answer(response, 4)
    }

    pub fn ask(&mut self, api: Api, body: Body) -> Answer {
        self.send(api, body);
        self.receive()
    }
}

/// The name of an error as Kafka's protocol guide has it.
pub fn name(code: i16) -> String {
    let name = match code {
        0 => "ok",
        3 => "UNKNOWN_TOPIC_OR_PARTITION",
        14 => "COORDINATOR_LOAD_IN_PROGRESS",
        15 => "COORDINATOR_NOT_AVAILABLE",
        16 => "NOT_COORDINATOR",
        22 => "ILLEGAL_GENERATION",
        25 => "UNKNOWN_MEMBER_ID",
        27 => "REBALANCE_IN_PROGRESS",
        68 => "NON_EMPTY_GROUP",
        69 => "GROUP_ID_NOT_FOUND",
        other => return format!("error {other}"),
    };
    name.to_owned()
}
