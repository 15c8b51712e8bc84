//! The spans of one partition's cuts. A trace is one cut: `process` over all of it, and below it `poll`, `encode`,
//! `manifest`, one `upload` per file, and `commit`. Every call does nothing while traces are off or the cut was not
//! chosen; a span ends when it is dropped.

use super::links::Links;
use super::{Traces, names};
use crate::events::{Decoded, Record};
use crate::files::PlannedFile;
use crate::kafka::TopicPartition;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use std::sync::Arc;
use std::time::SystemTime;

/// A step below a cut; it ends when it is dropped.
#[derive(Debug)]
pub struct Step(Option<Span>);

impl Step {
    /// Ends the step as failed, for a reason that is one of few.
    pub fn fails(mut self, kind: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(names::ERROR, kind));
            span.set_status(Status::error(kind));
        }
    }
}

/// Where steps of one cut hang; cheap to clone, for work on other threads.
#[derive(Debug, Clone)]
pub struct Parent(Option<(Arc<Traces>, Context)>);

impl Parent {
    /// A step in this process.
    #[must_use]
    pub fn encode(&self) -> Step {
        self.step("encode", SpanKind::Internal, vec![])
    }

    /// The put of the manifest.
    #[must_use]
    pub fn manifest(&self) -> Step {
        self.step("manifest", SpanKind::Client, vec![])
    }

    /// The look for the files of an adopted cut.
    #[must_use]
    pub fn check(&self) -> Step {
        self.step("check", SpanKind::Client, vec![])
    }

    /// The put of one file of so many bytes.
    #[must_use]
    pub fn upload(&self, plan: &PlannedFile, bytes: usize) -> Step {
        if self.0.is_none() {
            return Step(None);
        }
        let attributes = vec![
            KeyValue::new(names::FILE_KEY, plan.key.clone()),
            KeyValue::new(names::FILE_ROWS, plan.rows.cast_signed()),
            KeyValue::new(names::FILE_SIZE, bytes as i64),
        ];
        self.step("upload", SpanKind::Client, attributes)
    }

    fn step(&self, name: &'static str, kind: SpanKind, attributes: Vec<KeyValue>) -> Step {
        let Some((traces, context)) = &self.0 else { return Step(None) };
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        Step(Some(traces.tracer.build_with_context(builder, context)))
    }
}

/// One cut under way.
#[derive(Debug)]
struct Cut {
    span: Span,
    began: SystemTime,
    links: Links,
    adopted: bool,
}

/// See the module.
#[derive(Debug)]
pub struct CutTraces {
    traces: Option<Arc<Traces>>,
    at: TopicPartition,
    /// Takes records, or looks for what an earlier owner left.
    open: Option<Cut>,
    /// Closed, its files are on their way.
    flying: Option<Cut>,
    /// Its files are there, no commit is under way.
    landed: Option<Cut>,
    /// Its commit is asked for; a later cut may land before the answer.
    commit: Option<(Cut, Step)>,
}

impl CutTraces {
    /// No cut yet.
    #[must_use]
    pub fn new(traces: Option<Arc<Traces>>, at: TopicPartition) -> Self {
        Self { traces, at, open: None, flying: None, landed: None, commit: None }
    }

    /// A record goes into the open cut.
    pub fn takes(&mut self, record: &Record<'_>, decoded: &Decoded<'_>) {
        let Some(traces) = &self.traces else { return };
        let cut = self.open.get_or_insert_with(|| begin(traces, &self.at));
        if cut.span.is_recording() {
            let event = if let Decoded::Event(event, _) = decoded { Some(event) } else { None };
            cut.links.offer(record, event, traces.names);
        }
    }

    /// The unfinished cut `[from, to)` of an earlier owner is taken over; its records may be read again.
    pub fn adopts(&mut self, (from, to): (i64, i64), nonce: &str) -> Parent {
        let Some(traces) = &self.traces else { return Parent(None) };
        let mut cut = begin(traces, &self.at);
        cut.adopted = true;
        cut.span.set_attribute(KeyValue::new(names::CUT_ADOPTED, true));
        identify(&mut cut.span, (from, to), nonce);
        let parent = self.parent_of(Some(&cut));
        self.open = Some(cut);
        parent
    }

    /// The open cut closes as `[from, to)`.
    pub fn closes(&mut self, (from, to): (i64, i64), nonce: &str, trigger: &'static str) -> Parent {
        let Some(traces) = &self.traces else { return Parent(None) };
        let mut cut = self.open.take().unwrap_or_else(|| begin(traces, &self.at));
        if cut.span.is_recording() {
            identify(&mut cut.span, (from, to), nonce);
            let count = KeyValue::new(names::COUNT, cut.links.records().cast_signed());
            cut.span.set_attributes([KeyValue::new(names::CUT_TRIGGER, trigger), count.clone()]);
            for link in cut.links.take() {
                cut.span.add_link(link.span_context, link.attributes);
            }
            let mut attributes = traces.messaging(&self.at, "poll", "receive");
            attributes.push(count);
            let poll = SpanBuilder::from_name(format!("poll {}", self.at.topic))
                .with_kind(SpanKind::Client)
                .with_start_time(cut.began)
                .with_attributes(attributes);
            drop(traces.tracer.build_with_context(poll, &below(&cut.span)));
        }
        self.flying = Some(cut);
        self.parent()
    }

    /// Where steps of the closed cut hang.
    #[must_use]
    pub fn parent(&self) -> Parent {
        self.parent_of(self.flying.as_ref())
    }

    /// All files of the closed or adopted cut are there.
    pub fn lands(&mut self) {
        let cut = self.flying.take().or_else(|| self.open.take_if(|open| open.adopted));
        if cut.is_some() {
            self.landed = cut;
        }
    }

    /// A commit is asked for.
    pub fn commits(&mut self, offset: i64) {
        let asked = self.landed.take().or_else(|| self.commit.take().map(|(cut, _)| cut));
        let (Some(traces), Some(cut)) = (&self.traces, asked) else { return };
        let mut step = Step(None);
        if cut.span.is_recording() {
            let mut attributes = traces.messaging(&self.at, "commit", "settle");
            attributes.push(KeyValue::new(names::COMMIT_OFFSET, offset));
            let builder = SpanBuilder::from_name(format!("commit {}", self.at.topic))
                .with_kind(SpanKind::Client)
                .with_attributes(attributes);
            step = Step(Some(traces.tracer.build_with_context(builder, &below(&cut.span))));
        }
        self.commit = Some((cut, step));
    }

    /// The commit was answered; one that failed is asked for again.
    pub fn committed(&mut self, ok: bool) {
        if let Some((cut, step)) = self.commit.take()
            && !ok
        {
            step.fails("commit");
            self.landed.get_or_insert(cut);
        }
    }

    /// What was not finished is dropped.
    pub fn discards(&mut self) {
        for mut cut in self.open.take().into_iter().chain(self.flying.take()) {
            cut.span.set_attribute(KeyValue::new(names::ERROR, "discarded"));
        }
    }

    fn parent_of(&self, cut: Option<&Cut>) -> Parent {
        let recording = cut.filter(|cut| cut.span.is_recording());
        Parent(self.traces.clone().zip(recording.map(|cut| below(&cut.span))))
    }
}

fn begin(traces: &Traces, at: &TopicPartition) -> Cut {
    let builder = SpanBuilder::from_name(format!("process {}", at.topic))
        .with_kind(SpanKind::Consumer)
        .with_attributes(traces.messaging(at, "process", "process"));
    let span = traces.tracer.build_with_context(builder, &Context::new());
    Cut { span, began: SystemTime::now(), links: Links::default(), adopted: false }
}

fn identify(span: &mut Span, (from, to): (i64, i64), nonce: &str) {
    let (from, to) = (KeyValue::new(names::CUT_FROM, from), KeyValue::new(names::CUT_TO, to));
    span.set_attributes([from, to, KeyValue::new(names::CUT_NONCE, nonce.to_owned())]);
}

fn below(span: &Span) -> Context {
    Context::new().with_remote_span_context(span.span_context().clone())
}
