//! What the bindings do not wrap: events with their partition and offset, leader epochs, header names as
//! bytes, cached watermarks, commit metadata as bytes, topic ids, tokens with extensions. With [`heap`] below it the only
//! `unsafe` code of the worker.
//!
//! Every pointer taken here belongs to an event, a list or a consumer that outlives the borrow.
#![allow(unsafe_code)]

pub mod heap;

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, NulError, c_char, c_void};
use std::time::Duration;

/// The queue on which a consumer delivers records, rebalances, commit results and errors.
pub struct Queue {
    ptr: *mut sys::rd_kafka_queue_t,
}

// SAFETY: librdkafka's queues may be used from any thread; this type only moves to the poll thread.
unsafe impl Send for Queue {}

impl Queue {
    /// The queue of `consumer`; it must be dropped before the consumer.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Self {
        // SAFETY: the client lives; the handle is our own and destroyed on drop.
        Self { ptr: unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) } }
    }

    /// Waits at most `timeout` for one event.
    pub fn poll(&self, timeout: Duration) -> Option<Event> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is ours; a non-null event is owned by the returned value.
        let ptr = unsafe { sys::rd_kafka_queue_poll(self.ptr, millis) };
        (!ptr.is_null()).then_some(Event { ptr })
    }

    /// Commits asynchronously; the answer comes as an event on this queue. The bindings' own asynchronous commit
    /// tells nobody how it ended.
    ///
    /// # Errors
    /// The client has no group.
    pub fn commit<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        offsets: &TopicPartitionList,
    ) -> Result<(), RDKafkaErrorCode> {
        let client = consumer.client().native_ptr();
        // SAFETY: client and queue live; the library copies the list; without a callback nothing is called back.
        let error = unsafe { sys::rd_kafka_commit_queue(client, offsets.ptr(), self.ptr, None, std::ptr::null_mut()) };
        code(error).map_or(Ok(()), Err)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: taken in `of`, dropped once.
        unsafe { sys::rd_kafka_queue_destroy(self.ptr) }
    }
}

/// One event; what it holds is borrowed from it.
pub struct Event {
    ptr: *mut sys::rd_kafka_event_t,
}

/// What an event is.
pub enum Kind<'e> {
    /// A record.
    Record(RawRecord<'e>),
    /// Partitions are assigned (incrementally).
    Assign(Vec<(String, i32)>),
    /// Partitions are revoked (incrementally).
    Revoke(Vec<(String, i32)>),
    /// A commit was answered, partition by partition.
    Committed(Vec<Commit>),
    /// The readable log of a partition was read up to its end, this offset.
    End((String, i32), i64),
    /// An error, of a partition or of the client.
    Error(Fault),
    /// Nothing of interest.
    Other,
}

/// The answer for one partition of a commit.
pub struct Commit {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset that was to be committed.
    pub offset: i64,
    /// What went wrong, if anything.
    pub error: Option<RDKafkaErrorCode>,
}

/// An error event.
pub struct Fault {
    /// The library's code.
    pub code: RDKafkaErrorCode,
    /// The client can do nothing any more.
    pub fatal: bool,
    /// Topic and partition, if it concerns one.
    pub partition: Option<(String, i32)>,
    /// The offset that it concerns; negative when it concerns none.
    pub offset: i64,
    /// The library's words.
    pub text: String,
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.ptr) }
    }
}

impl Event {
    /// What the event is.
    pub fn kind(&self) -> Kind<'_> {
        // SAFETY: the event lives as long as the borrow; lists and messages belong to it.
        unsafe {
            match sys::rd_kafka_event_type(self.ptr) {
                sys::RD_KAFKA_EVENT_FETCH => {
                    let message = sys::rd_kafka_event_message_next(self.ptr);
                    message.as_ref().map_or(Kind::Other, |message| Kind::Record(RawRecord { message }))
                }
                sys::RD_KAFKA_EVENT_REBALANCE => self.rebalance(),
                sys::RD_KAFKA_EVENT_OFFSET_COMMIT => Kind::Committed(self.commit()),
                sys::RD_KAFKA_EVENT_ERROR => self.fault(),
                _ => Kind::Other,
            }
        }
    }

    unsafe fn rebalance(&self) -> Kind<'_> {
        // SAFETY: as in `kind`.
        let (error, partitions) = unsafe {
            let list = elements(sys::rd_kafka_event_topic_partition_list(self.ptr));
            let partitions = list.iter().map(|e| (text(e.topic), e.partition)).collect();
            (sys::rd_kafka_event_error(self.ptr), partitions)
        };
        match error {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Kind::Assign(partitions),
            _ => Kind::Revoke(partitions),
        }
    }

    unsafe fn commit(&self) -> Vec<Commit> {
        // SAFETY: as in `kind`.
        unsafe {
            let whole = code(sys::rd_kafka_event_error(self.ptr));
            elements(sys::rd_kafka_event_topic_partition_list(self.ptr))
                .iter()
                .map(|e| Commit {
                    topic: text(e.topic),
                    partition: e.partition,
                    offset: e.offset,
                    error: code(e.err).or(whole),
                })
                .collect()
        }
    }

    unsafe fn fault(&self) -> Kind<'_> {
        // SAFETY: as in `kind`; the partition is a copy that is ours to destroy.
        unsafe {
            let error = sys::rd_kafka_event_error(self.ptr);
            let at = sys::rd_kafka_event_topic_partition(self.ptr);
            let (partition, offset) = at.as_ref().map(|e| ((text(e.topic), e.partition), e.offset)).unzip();
            if !at.is_null() {
                sys::rd_kafka_topic_partition_destroy(at);
            }
            let (code, offset) = (RDKafkaErrorCode::from(error), offset.unwrap_or(-1));
            match partition {
                Some(partition) if code == RDKafkaErrorCode::PartitionEOF => Kind::End(partition, offset),
                partition => Kind::Error(Fault {
                    code,
                    fatal: sys::rd_kafka_event_error_is_fatal(self.ptr) != 0,
                    partition,
                    offset,
                    text: text(sys::rd_kafka_event_error_string(self.ptr)),
                }),
            }
        }
    }
}

/// A record, borrowed from its event.
#[derive(Clone, Copy)]
pub struct RawRecord<'e> {
    message: &'e sys::rd_kafka_message_t,
}

impl<'e> RawRecord<'e> {
    /// A number that is the same for all records of one topic handle; for look-up only.
    pub fn topic_handle(self) -> usize {
        self.message.rkt as usize
    }

    /// Topic.
    pub fn topic(self) -> String {
        // SAFETY: the handle lives with the message.
        unsafe { text(sys::rd_kafka_topic_name(self.message.rkt)) }
    }

    /// Partition.
    pub fn partition(self) -> i32 {
        self.message.partition
    }

    /// Offset.
    pub fn offset(self) -> i64 {
        self.message.offset
    }

    /// Leader epoch of the record's batch; -1 when unknown.
    pub fn epoch(self) -> i32 {
        // SAFETY: reads a field of the live message.
        unsafe { sys::rd_kafka_message_leader_epoch(self.message) }
    }

    /// Kafka timestamp in milliseconds.
    pub fn timestamp(self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads fields of the live message.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && millis >= 0).then_some(millis)
    }

    /// Key; `None` is null.
    pub fn key(self) -> Option<&'e [u8]> {
        // SAFETY: pointer and length belong together and live with the event.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    /// Value; `None` is null.
    pub fn value(self) -> Option<&'e [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    /// Calls `f` with each header, in order: the name's bytes, and the value, `None` when null.
    pub fn headers(self, mut f: impl FnMut(&'e [u8], Option<&'e [u8]>)) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: headers live with the message; name is a C string, value has its length.
        unsafe {
            let message = std::ptr::from_ref(self.message);
            if sys::rd_kafka_message_headers(message, &mut headers)
                != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return;
            }
            for at in 0.. {
                let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
                if sys::rd_kafka_header_get_all(headers, at, &mut name, &mut value, &mut len)
                    != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
                {
                    return;
                }
                f(CStr::from_ptr(name).to_bytes(), bytes(value, len));
            }
        }
    }
}

/// Sets the leader epoch of a partition in a list, so that a seek is validated and a commit carries it.
pub fn set_leader_epoch(list: &TopicPartitionList, topic: &str, partition: i32, epoch: i32) {
    let Ok(topic) = CString::new(topic) else { return };
    // SAFETY: the element belongs to the live list.
    unsafe {
        let element = sys::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if epoch >= 0 && !element.is_null() {
            sys::rd_kafka_topic_partition_set_leader_epoch(element, epoch);
        }
    }
}

/// Commit metadata of each partition in a list, as bytes; the bindings panic when it is not UTF-8.
pub fn metadata(list: &TopicPartitionList) -> Vec<Vec<u8>> {
    // SAFETY: the elements belong to the live list; metadata has its length.
    unsafe {
        elements(list.ptr())
            .iter()
            .map(|e| bytes(e.metadata, e.metadata_size).map(<[u8]>::to_vec).unwrap_or_default())
            .collect()
    }
}

/// First and next offset of a partition as the last fetch saw them, without asking the broker.
pub fn watermarks<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives; both results are plain integers.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some((low, high))
}

/// Leader epoch of a partition in a list; -1 when it has none.
pub fn leader_epoch(list: &TopicPartitionList, topic: &str, partition: i32) -> i32 {
    let Ok(topic) = CString::new(topic) else { return -1 };
    // SAFETY: the element belongs to the live list.
    unsafe {
        let element = sys::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition);
        if element.is_null() { -1 } else { sys::rd_kafka_topic_partition_get_leader_epoch(element) }
    }
}

/// Gives a client the token, with its end in milliseconds since 1970, that its next logins send. From any thread.
///
/// # Errors
/// The library's words.
pub fn set_token<C: ClientContext>(
    client: &Client<C>,
    (token, expires): (&str, i64),
    principal: &str,
    extensions: &BTreeMap<String, String>,
) -> Result<(), String> {
    let made = |text: &str| CString::new(text).map_err(|error: NulError| error.to_string());
    let (token, principal) = (made(token)?, made(principal)?);
    let pairs = extensions.iter().flat_map(|(name, value)| [made(name), made(value)]);
    let pairs: Vec<CString> = pairs.collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = pairs.iter().map(|text| text.as_ptr()).collect();
    let mut words: [c_char; 256] = [0; 256];
    // SAFETY: the client lives; the library copies every text; lengths belong to their arrays.
    let error = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            expires,
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            words.as_mut_ptr(),
            words.len(),
        )
    };
    // SAFETY: the library ends its words with a zero, within the length.
    code(error).map_or(Ok(()), |_| Err(unsafe { text(words.as_ptr()) }))
}

/// Tells a client why it has no new token: it reports that as an error on its queue when the words are other ones
/// than before. A token that it has goes on to serve.
pub fn set_token_failure<C: ClientContext>(client: &Client<C>, words: &str) {
    let Ok(words) = CString::new(words.replace('\0', " ")) else { return };
    // SAFETY: the client lives; the library copies the text.
    unsafe { sys::rd_kafka_oauthbearer_set_token_failure(client.native_ptr(), words.as_ptr()) };
}

/// What a broker says of a topic's id (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicId {
    /// The id.
    Is(String),
    /// The broker gives ids to no topic.
    None,
    /// There is no such topic.
    Gone,
}

/// Id of a topic, as `broker` says, or the controller.
///
/// # Errors
/// No answer within `timeout`, or a refusal: that is no proof that there is no id.
pub fn topic_id<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    broker: Option<i32>,
    timeout: Duration,
) -> Result<TopicId, String> {
    describe(consumer, topic, broker, timeout, described_id)
}

/// Whether this user may write to a topic, as `broker` says, or the controller: true too where it does not say.
///
/// # Errors
/// There is no such topic, or the broker's words.
pub fn may_write<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    broker: Option<i32>,
    timeout: Duration,
) -> Result<bool, String> {
    describe(consumer, topic, broker, timeout, described_rights)
}

/// Asks for the description of a topic, rights included, and reads it.
fn describe<C: ConsumerContext, T>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    broker: Option<i32>,
    timeout: Duration,
    read: unsafe fn(*mut sys::rd_kafka_event_t) -> Result<T, String>,
) -> Result<T, String> {
    let name = CString::new(topic).map_err(|e| e.to_string())?;
    let mut names = [name.as_ptr()];
    let client = consumer.client().native_ptr();
    // SAFETY: collection, options, queue and event are made and destroyed here; results belong to the event.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
        if let Some(broker) = broker {
            let mut words: [c_char; 64] = [0; 64];
            sys::rd_kafka_AdminOptions_set_broker(options, broker, words.as_mut_ptr(), words.len());
        }
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        let found = if event.is_null() { Err("no answer".to_owned()) } else { read(event) };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        found
    }
}

/// Id of the broker that the cluster named last as its controller, waiting for the first answer; -1 when it named none.
pub fn controller<C: ConsumerContext>(consumer: &BaseConsumer<C>, timeout: Duration) -> i32 {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives; the result is a plain integer.
    unsafe { sys::rd_kafka_controllerid(consumer.client().native_ptr(), millis) }
}

/// What became of a question about one topic.
enum Described {
    Topic(*const sys::rd_kafka_TopicDescription_t),
    Gone,
    Unsupported,
}

unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<Described, String> {
    // SAFETY: called with a live event; all results belong to it.
    unsafe {
        match code(sys::rd_kafka_event_error(event)) {
            Some(RDKafkaErrorCode::UnsupportedFeature) => return Ok(Described::Unsupported),
            Some(error) => return Err(error.to_string()),
            None => {}
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = if result.is_null() {
            std::ptr::null_mut()
        } else {
            sys::rd_kafka_DescribeTopics_result_topics(result, &mut count)
        };
        if topics.is_null() || count != 1 {
            return Err("an answer without the topic".to_owned());
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        match code(sys::rd_kafka_error_code(error)) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(Described::Gone),
            Some(error) => Err(error.to_string()),
            None => Ok(Described::Topic(*topics)),
        }
    }
}

unsafe fn described_id(event: *mut sys::rd_kafka_event_t) -> Result<TopicId, String> {
    // SAFETY: called with a live event; the description belongs to it.
    unsafe {
        let topic = match described(event)? {
            Described::Topic(topic) => topic,
            Described::Gone => return Ok(TopicId::Gone),
            Described::Unsupported => return Ok(TopicId::None),
        };
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let zero = id.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0);
        // The alphabet that Kafka's own tools print, which is safe in a path; the library's has a slash.
        let words = || text(sys::rd_kafka_Uuid_base64str(id)).replace('/', "_").replace('+', "-");
        Ok(if zero { TopicId::None } else { TopicId::Is(words()) })
    }
}

unsafe fn described_rights(event: *mut sys::rd_kafka_event_t) -> Result<bool, String> {
    // SAFETY: called with a live event; description and list belong to it, and the list has its length.
    unsafe {
        let topic = match described(event)? {
            Described::Topic(topic) => topic,
            Described::Gone => return Err("does not exist".to_owned()),
            Described::Unsupported => return Ok(true),
        };
        let mut count = 0;
        let rights = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        if rights.is_null() {
            return Ok(true);
        }
        let rights = std::slice::from_raw_parts(rights, count);
        Ok(rights.contains(&sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE))
    }
}

fn code(error: sys::rd_kafka_resp_err_t) -> Option<RDKafkaErrorCode> {
    (error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}

unsafe fn text(ptr: *const c_char) -> String {
    // SAFETY: the caller gives null or a C string.
    if ptr.is_null() { String::new() } else { unsafe { CStr::from_ptr(ptr) }.to_string_lossy().into_owned() }
}

unsafe fn bytes<'a>(ptr: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller gives null or `len` readable bytes.
    (!ptr.is_null()).then(|| unsafe { std::slice::from_raw_parts(ptr.cast::<u8>(), len) })
}

unsafe fn elements<'a>(list: *const sys::rd_kafka_topic_partition_list_t) -> &'a [sys::rd_kafka_topic_partition_t] {
    // SAFETY: the caller gives null or a live list.
    unsafe {
        match list.as_ref() {
            Some(list) if list.cnt > 0 => {
                std::slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0))
            }
            _ => &[],
        }
    }
}
