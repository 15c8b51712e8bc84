//! Rows as Arrow columns. A row is written twice from the same values: here, and in its canonical form for
//! the digest; the tests recompute the digest from the columns. Builders start empty, because a process
//! may have thousands of files open.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder as _, BinaryBuilder, GenericByteBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::ByteArrayType;
use arrow_array::{ArrayRef, Int32Array, ListArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, Fields, SchemaRef};

use super::digest::{Canon, header_name, kafka_micros};
use super::{FileKind, Identity, schema};
use crate::events::{Data, Event, Header, Record};

/// Most values and most of their bytes for which a builder keeps room.
const KEPT_VALUES: usize = 1 << 12;
const KEPT_BYTES: usize = 256 << 10;

/// Columns of one kind of file, and what a row of it is made of.
pub(super) trait Columns: Default {
    /// What a row is made of.
    type Row<'a>: Copy;

    /// What the rows are.
    const KIND: FileKind;

    /// Writes the canonical form of a row.
    fn canon(row: Self::Row<'_>, identity: &Identity, canon: &mut Canon);

    /// Adds a row.
    fn push(&mut self, row: Self::Row<'_>);

    /// Takes all rows out, as columns of `schema`; the builders are empty again.
    fn take(&mut self, identity: &Identity, schema: &SchemaRef) -> Result<RecordBatch, ArrowError>;
}

/// The row of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRow<'a> {
    pub record: &'a Record<'a>,
    pub event: &'a Event<'a>,
    /// Extension attributes with a column of their own.
    pub columns: &'a [String],
}

impl<'a> EventRow<'a> {
    /// The values of those columns, in order.
    fn own(self) -> impl Iterator<Item = Option<&'a str>> {
        let extensions = &self.event.extensions;
        let find =
            |column: &String| extensions.iter().find(|(name, _)| name == column).map(|(_, value)| value.as_ref());
        self.columns.iter().map(find)
    }
}

/// The row of a dead letter.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeadRow<'a> {
    pub record: &'a Record<'a>,
    pub reason: &'a str,
    pub detail: &'a str,
}

/// Columns of events.
#[derive(Debug)]
pub(super) struct EventColumns {
    specversion: StringBuilder,
    id: StringBuilder,
    source: StringBuilder,
    r#type: StringBuilder,
    subject: StringBuilder,
    time: TimestampMicrosecondBuilder,
    time_raw: StringBuilder,
    datacontenttype: StringBuilder,
    dataschema: StringBuilder,
    extensions: Extensions,
    data: StringBuilder,
    data_binary: BinaryBuilder,
    kafka: KafkaColumns,
    /// One for each extension attribute with a column of its own.
    own: Vec<StringBuilder>,
}

impl Default for EventColumns {
    fn default() -> Self {
        Self {
            specversion: text(),
            id: text(),
            source: text(),
            r#type: text(),
            subject: text(),
            time: TimestampMicrosecondBuilder::with_capacity(0),
            time_raw: text(),
            datacontenttype: text(),
            dataschema: text(),
            extensions: Extensions::default(),
            data: text(),
            data_binary: binary(),
            kafka: KafkaColumns::default(),
            own: Vec::new(),
        }
    }
}

impl Columns for EventColumns {
    type Row<'a> = EventRow<'a>;

    const KIND: FileKind = FileKind::Rows;

    fn canon(row: EventRow<'_>, identity: &Identity, canon: &mut Canon) {
        let EventRow { record, event, .. } = row;
        canon.text(Some(&event.specversion));
        canon.text(Some(&event.id));
        canon.text(Some(&event.source));
        canon.text(Some(&event.r#type));
        canon.text(event.subject.as_deref());
        canon.int64(event.time.as_ref().map(|time| time.micros));
        canon.text(event.time.as_ref().and_then(|time| time.raw.as_deref()));
        canon.text(event.datacontenttype.as_deref());
        canon.text(event.dataschema.as_deref());
        canon.entries(event.extensions.len());
        for (name, value) in &event.extensions {
            canon.text(Some(name));
            canon.text(Some(value));
        }
        let (text, binary) = payload(&event.data);
        canon.text(text);
        canon.optional(binary);
        canon_kafka(record, identity, canon);
        row.own().for_each(|value| canon.text(value));
    }

    fn push(&mut self, row: EventRow<'_>) {
        let EventRow { record, event, columns } = row;
        self.specversion.append_value(&event.specversion);
        self.id.append_value(&event.id);
        self.source.append_value(&event.source);
        self.r#type.append_value(&event.r#type);
        self.subject.append_option(event.subject.as_deref());
        self.time.append_option(event.time.as_ref().map(|time| time.micros));
        self.time_raw.append_option(event.time.as_ref().and_then(|time| time.raw.as_deref()));
        self.datacontenttype.append_option(event.datacontenttype.as_deref());
        self.dataschema.append_option(event.dataschema.as_deref());
        self.extensions.push(&event.extensions);
        self.own.resize_with(columns.len(), text);
        self.own.iter_mut().zip(row.own()).for_each(|(column, value)| column.append_option(value));
        let (text, binary) = payload(&event.data);
        self.data.append_option(text);
        self.data_binary.append_option(binary);
        self.kafka.push(record);
    }

    fn take(&mut self, identity: &Identity, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![
            taken(&mut self.specversion),
            taken(&mut self.id),
            taken(&mut self.source),
            taken(&mut self.r#type),
            taken(&mut self.subject),
            Arc::new(self.time.finish().with_timezone("UTC")),
            taken(&mut self.time_raw),
            taken(&mut self.datacontenttype),
            taken(&mut self.dataschema),
            Arc::new(self.extensions.take()?),
            taken(&mut self.data),
            taken(&mut self.data_binary),
        ];
        columns.extend(self.kafka.take(identity)?);
        columns.extend(self.own.iter_mut().map(taken));
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

fn payload<'a>(data: &'a Data<'_>) -> (Option<&'a str>, Option<&'a [u8]>) {
    match data {
        Data::None => (None, None),
        Data::Text(text) => (Some(text), None),
        Data::Binary(bytes) => (None, Some(bytes)),
    }
}

/// Columns of dead letters.
#[derive(Debug)]
pub(super) struct DeadColumns {
    reason: StringBuilder,
    detail: StringBuilder,
    kafka: KafkaColumns,
    value: BinaryBuilder,
}

impl Default for DeadColumns {
    fn default() -> Self {
        Self { reason: text(), detail: text(), kafka: KafkaColumns::default(), value: binary() }
    }
}

impl Columns for DeadColumns {
    type Row<'a> = DeadRow<'a>;

    const KIND: FileKind = FileKind::DeadLetters;

    fn canon(DeadRow { record, reason, detail }: DeadRow<'_>, identity: &Identity, canon: &mut Canon) {
        canon.text(Some(reason));
        canon.text(Some(detail));
        canon_kafka(record, identity, canon);
        canon.optional(record.value);
    }

    fn push(&mut self, DeadRow { record, reason, detail }: DeadRow<'_>) {
        self.reason.append_value(reason);
        self.detail.append_value(detail);
        self.kafka.push(record);
        self.value.append_option(record.value);
    }

    fn take(&mut self, identity: &Identity, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![taken(&mut self.reason), taken(&mut self.detail)];
        columns.extend(self.kafka.take(identity)?);
        columns.push(taken(&mut self.value));
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

/// The coordinates, key and headers of a record; topic and partition are the same in all rows.
#[derive(Debug)]
struct KafkaColumns {
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    key: BinaryBuilder,
    headers: Headers,
}

impl Default for KafkaColumns {
    fn default() -> Self {
        Self {
            offset: Int64Builder::with_capacity(0),
            timestamp: TimestampMicrosecondBuilder::with_capacity(0),
            key: binary(),
            headers: Headers::default(),
        }
    }
}

fn canon_kafka(record: &Record<'_>, identity: &Identity, canon: &mut Canon) {
    canon.text(Some(&identity.topic));
    canon.int32(identity.partition);
    canon.int64(Some(record.offset));
    canon.int64(kafka_micros(record.timestamp));
    canon.optional(record.key);
    canon.entries(record.headers.len());
    for header in record.headers {
        canon.text(Some(&header_name(header.name)));
        canon.optional(header.value);
    }
}

impl KafkaColumns {
    fn push(&mut self, record: &Record<'_>) {
        self.offset.append_value(record.offset);
        self.timestamp.append_option(kafka_micros(record.timestamp));
        self.key.append_option(record.key);
        self.headers.push(record.headers);
    }

    fn take(&mut self, identity: &Identity) -> Result<[ArrayRef; 6], ArrowError> {
        let offset = self.offset.finish();
        let rows = offset.values().len();
        Ok([
            Arc::new(StringArray::new_repeated(identity.topic.as_str(), rows)),
            Arc::new(Int32Array::from_value(identity.partition, rows)),
            Arc::new(offset),
            Arc::new(self.timestamp.finish().with_timezone("UTC")),
            taken(&mut self.key),
            Arc::new(self.headers.take()?),
        ])
    }
}

/// Where each row's entries end, for a column with several entries per row.
#[derive(Debug)]
struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    fn push(&mut self, entries: usize) {
        let last = self.0.last().copied().unwrap_or(0);
        // A batch is bounded far below 2^31 bytes and every entry takes some of them.
        self.0.push(last.saturating_add(i32::try_from(entries).unwrap_or(i32::MAX)));
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.0, vec![0])))
    }
}

#[derive(Debug)]
struct Headers {
    ends: Ends,
    names: StringBuilder,
    values: BinaryBuilder,
}

impl Default for Headers {
    fn default() -> Self {
        Self { ends: Ends::default(), names: text(), values: binary() }
    }
}

impl Headers {
    fn push(&mut self, headers: &[Header<'_>]) {
        for header in headers {
            self.names.append_value(header_name(header.name));
            self.values.append_option(header.value);
        }
        self.ends.push(headers.len());
    }

    fn take(&mut self) -> Result<ListArray, ArrowError> {
        let columns: Vec<ArrayRef> = vec![taken(&mut self.names), taken(&mut self.values)];
        let entries = StructArray::try_new(schema::header_fields(), columns, None)?;
        ListArray::try_new(Arc::clone(&schema::HEADER), self.ends.take(), Arc::new(entries), None)
    }
}

#[derive(Debug)]
struct Extensions {
    ends: Ends,
    names: StringBuilder,
    values: StringBuilder,
}

impl Default for Extensions {
    fn default() -> Self {
        Self { ends: Ends::default(), names: text(), values: text() }
    }
}

impl Extensions {
    fn push<T: AsRef<str>>(&mut self, extensions: &[(T, T)]) {
        for (name, value) in extensions {
            self.names.append_value(name.as_ref());
            self.values.append_value(value.as_ref());
        }
        self.ends.push(extensions.len());
    }

    fn take(&mut self) -> Result<MapArray, ArrowError> {
        let columns: Vec<ArrayRef> = vec![taken(&mut self.names), taken(&mut self.values)];
        let fields = match schema::EXTENSION.data_type() {
            arrow_schema::DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        };
        let entries = StructArray::try_new(fields, columns, None)?;
        MapArray::try_new(Arc::clone(&schema::EXTENSION), self.ends.take(), entries, None, false)
    }
}

/// The values of a builder. It has room for as many again, so that it does not grow step by step each time.
fn taken<T: ByteArrayType<Offset = i32>>(builder: &mut GenericByteBuilder<T>) -> ArrayRef {
    let (values, bytes) = (builder.len(), builder.values_slice().len());
    let next = GenericByteBuilder::with_capacity(room(values, KEPT_VALUES), room(bytes, KEPT_BYTES));
    Arc::new(std::mem::replace(builder, next).finish())
}

/// A little more than last time, in steps, so that the allocator finds the block that was there; bounded, and none after
/// much more than a usual batch: many builders may stay empty for long.
fn room(last: usize, most: usize) -> usize {
    let usual = (1..=2 * most).contains(&last);
    if usual { (last + last / 8).next_multiple_of(1 << 10).min(most) } else { 0 }
}

fn text() -> StringBuilder {
    StringBuilder::with_capacity(0, 0)
}

fn binary() -> BinaryBuilder {
    BinaryBuilder::with_capacity(0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_keeps_room_for_another_usual_batch_and_no_more() {
        let rooms = [0, 1, 1000, 300 << 10, 512 << 10, 513 << 10, 4 << 20].map(|last| room(last, KEPT_BYTES));
        assert_eq!(rooms, [0, 1 << 10, 2 << 10, KEPT_BYTES, KEPT_BYTES, 0, 0]);
    }
}
